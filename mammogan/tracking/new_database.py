"""A new SQLite file of MLflow: there with all its tables, or not there.

MLflow makes them by some sixty migrations, which take seconds and are no transaction: a file that is left half way is
refused for ever, and two processes that make one at once break it.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import sqlalchemy

from mammogan import lock


def make(file: Path) -> None:
    """Make the file, unless another process has done so meanwhile, for which this one waits. Raises OSError.

    What a process that was killed left of one goes first.
    """
    from mlflow.store.db import utils  # half a second, for the first run in a folder alone

    file = file.absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    with lock.folder(file.parent, fcntl.LOCK_EX):
        if file.exists() and file.stat().st_size:
            return
        part = file.with_name(f".{file.name}.new")
        for left in (part, part.with_name(f"{part.name}-journal")):
            left.unlink(missing_ok=True)
        engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(part)), poolclass=sqlalchemy.NullPool
        )
        utils._initialize_tables(engine)
        engine.dispose()
        part.replace(file)
