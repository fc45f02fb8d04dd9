"""Where the user's caches are, also for one without a home folder, as in many a container, or who may not write it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

XDG = "XDG_CACHE_HOME"


def cache(*names: str, variable: str = "") -> Path:
    """Folder, or file, of that name in the user's cache; it need not exist.

    ``$variable`` where that is set; else below ``$XDG_CACHE_HOME/mammogan`` or ``~/.cache/mammogan``; where neither is
    there to be written, below a folder of the user's own among the temporary ones. Raises OSError where somebody else
    has put something in that folder's place.
    """
    if variable and (given := os.environ.get(variable)):
        return expanded(given)
    return _writable(expanded(os.environ.get(XDG) or "~/.cache")).joinpath(*names)


def expanded(path: str) -> Path:
    """The path with ``~`` as the user's home folder, absolute; where there is none, ``~`` is a temporary folder.

    Raises FileNotFoundError for the home of another user whom this machine does not know.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # neither HOME nor an entry in the system's list of users
        if path != "~" and not path.startswith("~/"):
            raise FileNotFoundError(f"{path}: this machine has no such user") from error
        return _temporary() / path[2:]


def _writable(cache: Path) -> Path:
    """``mammogan`` below ``cache``, made where it is missing; the temporary folder where that cannot be."""
    folder = cache / "mammogan"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return _temporary()


def _temporary() -> Path:
    """A folder that no other user may read or has made."""
    folder = Path(tempfile.gettempdir(), f"mammogan-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder}: it is not a folder of this user; remove it, or set TMPDIR to another one")
    return folder
