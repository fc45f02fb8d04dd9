"""The command line's log: a file that keeps every record with time, level, module and traceback.

``$MAMMOGAN_LOG``, else ``mammogan/log/mammogan.log`` in the user's cache. Where it cannot be written nothing fails: the
console then has to do.
"""

from __future__ import annotations

import contextlib
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from mammogan import user_folders
from mammogan.addresses import masked

VARIABLE = "MAMMOGAN_LOG"
MOST_BYTES = 1_000_000
"""Size at which the file is put aside as ``mammogan.log.1`` and a new one begun."""
OLDER_FILES = 3


def path() -> Path:
    """Where the log is kept."""
    return user_folders.cache("log", "mammogan.log", variable=VARIABLE)


class LogFile(RotatingFileHandler):
    """Handler of the file; what it cannot write, as on a full disk, is dropped without a word."""

    broken = False
    """Whether a record was dropped."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file, maxBytes=MOST_BYTES, backupCount=OLDER_FILES, encoding="utf-8", errors="replace")
        self.setFormatter(_Formatter("{asctime} {levelname} {process} {name}: {message}", "%Y-%m-%dT%H:%M:%S%z", "{"))

    def _open(self) -> TextIOWrapper:
        """The file, which nobody but its owner may read."""
        return open(  # ty: ignore[invalid-explicit-return]  (closed by the handler)
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  (logging's name)
        """Remember that the file is not whole."""
        self.broken = True


class _Formatter(logging.Formatter):
    """Message and traceback, without passwords in addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def attach(package: logging.Logger) -> None:
    """Keep the package's records in the file too, if it can be written; a second call changes nothing."""
    try:
        file = path()
        if any(str(file) == handler.baseFilename for handler in _handlers(package)):
            return
        detach(package)
        package.addHandler(LogFile(file))
    except OSError as error:
        package.debug(f"no log is kept: {error}; set {VARIABLE} to a file that can be written")


def detach(package: logging.Logger) -> None:
    """Keep no further records in a file."""
    for handler in _handlers(package):
        package.removeHandler(handler)
        with contextlib.suppress(OSError):  # what a full disk did not take
            handler.close()


def kept_in(package: logging.Logger) -> Path | None:
    """File that has all of the package's records; None where there is none."""
    return next((Path(handler.baseFilename) for handler in _handlers(package) if not handler.broken), None)


def _handlers(package: logging.Logger) -> list[LogFile]:
    return [handler for handler in package.handlers if isinstance(handler, LogFile)]
