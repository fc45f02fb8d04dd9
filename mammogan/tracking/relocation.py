"""A folder of runs that was moved or copied: MLflow keeps the absolute address of every artifact, which is to follow.

Without that the reports of a moved folder would find nothing, and new artifacts would go to where it was.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from mammogan.tracking.database import address_of, asked, require_usable

ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's tables that hold addresses of artifacts."""


@dataclass(frozen=True)
class Relocation:
    """What was done about one former folder of artifacts."""

    before: Path
    after: Path
    addresses: int
    """Addresses that follow now."""


def local_path(address: str) -> Path | None:
    """Path of artifacts that are on this machine, None for those of a server."""
    return Path(local_file_uri_to_path(address)) if is_local_uri(address, is_tracking_or_registry_uri=False) else None


def follow(database: Path, artifacts: Path, experiment: str = "") -> list[Relocation]:
    """Make every address of artifacts in a SQLite file of MLflow that lay in a former folder one in ``artifacts``.

    Former is the folder of an experiment of which some run has its artifacts in ``artifacts`` now, or which has no run
    yet. All addresses change, or none. Raises ValueError, before anything changes, where ``experiment`` has its
    artifacts elsewhere, or they are missing; DatabaseError where the file is locked or damaged.
    """
    if not database.exists():
        return []
    address = address_of(database)
    require_usable(address)
    return asked(lambda: _follow(database, artifacts.absolute(), experiment), address)


@contextlib.contextmanager
def followed_copy(database: Path, artifacts: Path) -> Generator[Path]:
    """A copy of a SQLite file of MLflow, until the block is left, in which addresses have followed as by ``follow``."""
    address = address_of(database)
    require_usable(address)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, database.name)
        asked(lambda: _copy(database, copy), address)
        follow(copy, artifacts)
        yield copy


def _copy(database: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(database)) as original,
        contextlib.closing(sqlite3.connect(copy)) as written,
    ):
        original.backup(written)


def _follow(database: Path, artifacts: Path, experiment: str) -> list[Relocation]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return []  # MLflow was ended while it made its tables
        connection.execute("BEGIN IMMEDIATE")
        former = list(_former(connection, artifacts, experiment))
        done = [Relocation(before, artifacts, _move(connection, before, artifacts)) for before in former]
        connection.execute("COMMIT")
        return done


def _former(connection: sqlite3.Connection, artifacts: Path, experiment: str) -> Iterator[Path]:
    """Folders that have become ``artifacts``."""
    query = "SELECT experiment_id, name, artifact_location FROM experiments WHERE experiment_id <> 0"  # not the Default
    seen: set[Path] = set()
    for number, name, location in connection.execute(query).fetchall():
        before = local_path(location or "")
        if before is None or before.resolve() == artifacts.resolve() or before in seen:
            continue
        runs = connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", (number,)).fetchall()
        if not runs or any((artifacts / run).is_dir() for (run,) in runs):
            seen.add(before)
            yield before
        elif name == experiment:
            raise ValueError(f"experiment={name!r}: {_elsewhere(before, artifacts)}")


def _elsewhere(before: Path, artifacts: Path) -> str:
    if before.is_dir():
        fix = f"move that folder to {artifacts}, or choose another --experiment or --out"
        return f"it keeps its artifacts in {before}, outside {artifacts.parent}; {fix}"
    return f"its artifacts are neither in {before} nor in {artifacts}; restore that folder, or give another --out"


def _move(connection: sqlite3.Connection, before: Path, after: Path) -> int:
    changed = 0
    for table, columns in ADDRESSES.items():
        for column in columns:
            rows = connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} <> ''").fetchall()  # noqa: S608
            for (address,) in rows:
                path = local_path(address)
                if path is None or not path.is_relative_to(before):
                    continue
                moved = (after / path.relative_to(before)).as_uri()
                given = (moved, address)
                changed += connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", given).rowcount  # noqa: S608
    return changed
