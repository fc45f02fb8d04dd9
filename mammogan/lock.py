"""A file that one process at a time holds; it is free again when that process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"


def opened(path: Path) -> int:
    """Descriptor of a file to be locked, made where it is missing, never changed, no link followed."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OSError(f"{path}: it cannot be opened to be locked ({error.strerror}); remove it, or check the rights of "
                      "its folder") from error  # fmt: skip


@contextmanager
def exclusive(path: Path, refusal: str) -> Generator[None]:
    """Hold the file while the block runs; it is there for so long, and stays where the process is killed.

    Raises RuntimeError where another process holds it, whose message is ``refusal``.
    """
    descriptor = taken(path)
    if descriptor is None:
        raise RuntimeError(refusal)
    try:
        yield
    finally:
        if _is_at(descriptor, path):
            with contextlib.suppress(OSError):  # of a folder that may no longer be written: an empty file stays
                path.unlink()
        os.close(descriptor)


def out_folder(out: str | Path) -> contextlib.AbstractContextManager[None]:
    """Hold a folder that is about to be written, by a hidden file beside it, for it may be replaced whole."""
    folder = Path(os.path.abspath(out))
    folder.parent.mkdir(parents=True, exist_ok=True)
    return exclusive(folder.parent / f".{folder.name}{NAME}", busy(out))


@contextmanager
def folder(path: Path, how: int) -> Generator[None]:
    """Hold a folder itself while the block runs, by ``how`` of flock; where a file system has no locks, nothing is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def busy(out: str | Path) -> str:
    """What is said of a folder that another process holds."""
    return f"--out={out}: another process is writing it; wait for it or give another --out"


def taken(path: Path) -> int | None:
    """Descriptor of the file, held until it is closed; None where another process holds it.

    On a file system without locks it is taken for free.
    """
    while True:
        descriptor = opened(path)
        try:
            free = is_free(descriptor, unknown=True)
            held = free and _is_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if held:
            return descriptor
        os.close(descriptor)
        if not free:
            return None


def is_free(descriptor: int, *, unknown: bool) -> bool:
    """Whether no other process held what is open, which is locked now; ``unknown`` where it cannot be locked at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unknown
    return True


def remove_abandoned(path: Path) -> None:
    """Remove a file that was written by a process which held it by ``taken``, unless one still does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if is_free(descriptor, unknown=False) and _is_at(descriptor, path):
            path.unlink()
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one of that name: whoever held it may have removed it before it was locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
