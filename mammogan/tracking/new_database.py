"""A new SQLite file of MLflow: there with all its tables, or not there.

MLflow makes them by some sixty migrations, which take seconds and are no transaction: a file that is left half way is
refused for ever, and two processes that make one at once break it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import sqlalchemy
from mlflow.store.db.utils import _initialize_tables


def make(file: Path) -> None:
    """Make the file, unless another process has done so meanwhile, for which this one waits. Raises OSError.

    What a process that was killed left of one goes first.
    """
    file = file.absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file.parent):
        if file.exists() and file.stat().st_size:
            return
        part = file.with_name(f".{file.name}.new")
        for left in (part, part.with_name(f"{part.name}-journal")):
            left.unlink(missing_ok=True)
        engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(part)), poolclass=sqlalchemy.NullPool
        )
        _initialize_tables(engine)
        engine.dispose()
        part.replace(file)


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold the folder's lock; on a file system without locks, nothing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
