"""A folder that takes the place of another one whole, and what processes that were killed left of such folders.

The new folder and then the old one lie in a hidden folder beside the place, ``.NAME.xxxxxxxx``, which is locked while
somebody works there. Of two that replace one folder at once the last one stays. Where a process was killed after it had
taken the old folder away and before it put the new one there, whoever next writes or reads there does that for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mammogan import lock

logger = logging.getLogger(__name__)

NEW, OLD = "new", "old"
_RANDOM = "[a-z0-9_]{8}"
"""What ``tempfile`` puts behind a prefix."""


@contextmanager
def replaced_folder(folder: Path) -> Generator[Path]:
    """New folder that takes the place of ``folder`` only when the block ends well.

    Whatever a killed process left beside it is put back or removed first.
    """
    with _scratch(folder) as scratch:
        part = scratch / NEW
        part.mkdir()
        yield part
        _swap(scratch, folder)


def take_place(finished: Path, folder: Path) -> None:
    """Move a finished folder of the same disk to the place of ``folder``, as ``replaced_folder`` does."""
    with _scratch(folder) as scratch:
        os.replace(finished, scratch / NEW)
        _swap(scratch, folder)


def put_back(parent: Path, name: str = "") -> None:
    """Where a process that was killed had taken the folder ``name`` of ``parent``, or any, away: put the new one there.

    That one was finished before the old one was taken away. Raises OSError where neither can be put there.
    """
    for left in _hidden(parent, name):
        with _free(left) as free:
            if free and _is_between(left):
                _put_back(left)


def leftovers(parent: Path, name: str = "") -> list[Path]:
    """Hidden folders in ``parent`` that were to replace the folder ``name``, or any, and on which nobody works.

    One that holds what is missing in its place is none: it is to be put back.
    """
    found = []
    for path in _hidden(parent, name):
        with _free(path) as free:
            if free and not _is_between(path):
                found.append(path)
    return found


@contextmanager
def _scratch(folder: Path) -> Generator[Path]:
    """Hidden folder to work in, whose lock outlives it: who finds it free could else remove it at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    put_back(folder.parent, folder.name)
    _clear(folder)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    with lock.folder(scratch, fcntl.LOCK_EX | fcntl.LOCK_NB):
        try:
            yield scratch
        finally:
            if _is_between(scratch):
                _put_back(scratch)
            shutil.rmtree(scratch)


def _clear(folder: Path) -> None:
    """Remove what processes that were killed left beside ``folder``."""
    for left in leftovers(folder.parent, folder.name):
        with _free(left) as free:
            if not free:
                continue
            logger.info(f"removing {left}, which a process that was killed left behind")
            for name in (OLD, NEW):  # beside an old one the new one is whole, at whatever moment this is killed
                if (left / name).exists():
                    shutil.rmtree(left / name)
            left.rmdir()


def _swap(scratch: Path, folder: Path) -> None:
    with lock.folder(folder.parent, fcntl.LOCK_EX):  # nobody else's folder comes between the two
        if folder.exists():
            os.replace(folder, scratch / OLD)
        os.replace(scratch / NEW, folder)


def _is_between(scratch: Path) -> bool:
    """Whether somebody stopped between taking the old folder away and putting the new one there."""
    return (scratch / OLD).exists() and (scratch / NEW).exists() and not os.path.lexists(_target(scratch))


def _put_back(scratch: Path) -> None:
    """Put the new folder, which is finished, in the place that is empty; where that fails, the old one."""
    folder = _target(scratch)
    with lock.folder(folder.parent, fcntl.LOCK_EX):
        if not _is_between(scratch):
            return
        try:
            os.replace(scratch / NEW, folder)
        except OSError:
            os.replace(scratch / OLD, folder)
    logger.info(f"{folder}: put in its place, from which a process that did not end well had taken the old one")


def _hidden(parent: Path, name: str) -> list[Path]:
    """Folders in ``parent`` that are called as those that are to replace ``name``, or any."""
    stem = re.escape(name) if name else ".+"
    return [path for path in sorted(parent.glob(".*")) if re.fullmatch(rf"\.{stem}\.{_RANDOM}", path.name)]


def _target(scratch: Path) -> Path:
    """The folder whose place it is about."""
    return scratch.parent / scratch.name[1:].rpartition(".")[0]


def _is_ours(path: Path) -> bool:
    """Whether there is nothing in it but what is put there here."""
    names = {child.name for child in path.iterdir()}
    return bool(names) and names <= {NEW, OLD}


@contextmanager
def _free(path: Path) -> Generator[bool]:
    """Whether it is ours and no process works there or, while the block runs, begins to; a link is nobody's."""
    descriptor = None
    with contextlib.suppress(OSError):  # it has gone meanwhile, or may not be opened
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    free = False
    try:
        with contextlib.suppress(OSError):
            free = descriptor is not None and lock.is_free(descriptor, unknown=False) and _is_ours(path)
        yield free
    finally:
        if descriptor is not None:
            os.close(descriptor)
