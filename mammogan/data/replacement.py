"""A folder that takes the place of another one whole, and what processes that were killed left of such folders."""

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

logger = logging.getLogger(__name__)

NEW, OLD = "new", "old"
_RANDOM = "[a-z0-9_]{8}"
"""What ``tempfile`` puts behind a prefix."""


@contextmanager
def replaced_folder(folder: Path) -> Generator[Path]:
    """New folder that takes the place of ``folder`` only when the block ends well.

    It lies in a hidden folder beside it, ``.NAME.xxxxxxxx``, which is locked while somebody works there. Whatever a
    killed process left in such a folder is removed first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in leftovers(folder.parent, folder.name):
        logger.info(f"removing {left}, which a process that was killed left behind")
        shutil.rmtree(left)
    home, prefix = folder.parent, f".{folder.name}."
    with tempfile.TemporaryDirectory(prefix=prefix, dir=home) as scratch, _locked(Path(scratch)):
        part = Path(scratch, NEW)
        part.mkdir()
        yield part
        if folder.exists():
            os.replace(folder, Path(scratch, OLD))
        os.replace(part, folder)


def leftovers(parent: Path, name: str = "") -> list[Path]:
    """Hidden folders in ``parent`` that were to replace the folder ``name``, or any, and on which nobody works."""
    stem = re.escape(name) if name else ".+"
    candidates = (path for path in sorted(parent.glob(".*")) if re.fullmatch(rf"\.{stem}\.{_RANDOM}", path.name))
    return [path for path in candidates if _is_ours(path) and not _is_held(path)]


def _is_ours(path: Path) -> bool:
    """Whether there is nothing in it but what ``replaced_folder`` puts there; a link is nobody's scratch."""
    if path.is_symlink() or not path.is_dir():
        return False
    names = {child.name for child in path.iterdir()}
    return bool(names) and names <= {NEW, OLD}


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is ever taken for left behind
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_held(folder: Path) -> bool:
    """Whether a process works there, or nobody can tell."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
