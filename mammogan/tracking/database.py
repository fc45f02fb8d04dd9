"""MLflow's database where a process opens it itself: its address, whether it can be used, its errors in one line.

A lock of SQLite, or a database server that is away, is waited for as ``patience`` says.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import exc
from sqlalchemy.engine import make_url

from mammogan import patience
from mammogan.addresses import masked
from mammogan.tracking import new_database

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs the traceback of what it raises

MLFLOW_TABLES = frozenset({"experiments", "registered_models", "alembic_version"})
"""Of which every database of MLflow has one, also one that is just being made."""
PRIMARY_CODE = 0xFF
"""Bits of SQLite's error codes that say the kind, without its details."""
HANDED_ON = frozenset({"TEMPORARILY_UNAVAILABLE", "BAD_REQUEST", "INTERNAL_ERROR"})
"""Codes under which MLflow hands on an error of its database unread."""
LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FIXES = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database; give another file, or restore it from a copy",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restore it from a copy",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder is there and may be written",
    sqlite3.SQLITE_READONLY: "it may not be written; check the rights of the file and of its folder",
    sqlite3.SQLITE_PERM: "it may not be opened; check the rights of the file and of its folder",
    sqlite3.SQLITE_FULL: "the disk is full; make room and run again",
    sqlite3.SQLITE_IOERR: "the disk fails or is full; check it and run again",
}

_FORMS = "write it as sqlite:///FILE or as the address of an MLflow server"

Result = TypeVar("Result")


class DatabaseError(MlflowException, RuntimeError):
    """The database cannot be used; the message is one line that names it and the fix."""


def address_of(file: Path) -> str:
    """Address of a SQLite file, absolute, for MLflow: also where the path has a ``%`` or a ``?``.

    Those two are written as ``%25`` and ``%3F``, which SQLAlchemy takes back. MLflow, which makes the folder above the
    file by the letters of the address, does not do so where the driver is named.
    """
    path = str(file.absolute())
    quoted = path.replace("%", "%25").replace("?", "%3F")
    return f"sqlite:///{path}" if quoted == path else f"sqlite+pysqlite:///{quoted}"


def is_database(uri: str) -> bool:
    """Whether MLflow opens ``uri`` as a database, not as a server."""
    return uri.partition("://")[0].partition("+")[0] in DATABASE_ENGINES


def file_of(uri: str) -> Path | None:
    """File of a SQLite database; None for any other address, and for one in memory."""
    if not is_database(uri) or not uri.startswith("sqlite"):
        return None
    name = _parsed(uri).database
    return Path(name) if name and name != ":memory:" else None


@functools.cache
def require_usable(uri: str, make: bool = False) -> None:
    """Raise before MLflow opens the database ``uri`` what it would only try again and again; asked once a process.

    ValueError for an address that cannot be read, a driver that is not installed, a file of another program, and a
    SQLite file that is missing unless ``make`` says to make it: a mistyped one would look empty. DatabaseError for a
    database that cannot be opened or stays locked.
    """
    try:
        dialect = _parsed(uri).get_dialect()
        dialect.import_dbapi()
    except exc.NoSuchModuleError as error:
        raise ValueError(f"{_named(uri)}: SQLAlchemy knows no such driver; {_FORMS}") from error
    except ImportError as error:
        raise ValueError(f"{_named(uri)}: its driver {error.name} is not installed; install it, or {_FORMS}") from error
    file = file_of(uri)
    if file is not None and not (file.exists() and file.stat().st_size):
        if not make:
            raise ValueError(f"{_named(uri)}: no such file; give the mlflow.db below the --out of a run")
        asked(lambda: new_database.make(file), uri)
        return
    tables = asked(lambda: _tables(uri), uri)
    if tables and not MLFLOW_TABLES & tables:
        raise ValueError(f"{_named(uri)}: it is the database of another program; give a file of its own to MLflow")


def asked(request: Callable[[], Result], uri: str) -> Result:
    """Result of a request to the database ``uri``, made again while it is locked or away. Raises DatabaseError."""
    try:
        return patience.retry(request, "MLflow's database", _may_pass)
    except DatabaseError:
        raise
    except Exception as error:
        if (fault := _fault(error)) is None:
            raise
        raise DatabaseError(f"{_named(uri)}: {_in_words(fault)}", error_code=TEMPORARILY_UNAVAILABLE) from error


def _parsed(uri: str) -> sqlalchemy.URL:
    try:
        return make_url(uri)
    except (exc.ArgumentError, ValueError) as error:
        raise ValueError(f"{_named(uri)}: it cannot be read; {_FORMS}") from error


def _tables(uri: str) -> set[str]:
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    return set(sqlalchemy.inspect(engine).get_table_names())


def _named(uri: str) -> str:
    return f"MLFLOW_TRACKING_URI={masked(uri)!r}"


def _fault(error: BaseException) -> BaseException | None:
    """What the database's driver, or SQLAlchemy for it, raised; None for anything else.

    Also behind an error of MLflow, unless that says what it means, such as a name that is taken.
    """
    if isinstance(error, MlflowException):
        return _fault(error.__cause__) if error.error_code in HANDED_ON and error.__cause__ else None
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error if isinstance(error, exc.SQLAlchemyError | sqlite3.Error) else None


def _may_pass(error: Exception) -> bool:
    """Whether waiting may help: a lock of SQLite, or a server that gave no answer, which has no state of SQL."""
    fault = None if isinstance(error, DatabaseError) else _fault(error)
    if isinstance(fault, sqlite3.Error):
        return _sqlite_code(fault) in LOCKED
    operational = fault is not None and type(fault).__name__ == "OperationalError"  # every driver has its own class
    return operational and not (getattr(fault, "pgcode", None) or getattr(fault, "sqlstate", None))


def _sqlite_code(fault: sqlite3.Error) -> int:
    """SQLite's code of the error; 0 for one that Python raised by itself."""
    return getattr(fault, "sqlite_errorcode", 0) & PRIMARY_CODE


def _in_words(fault: BaseException) -> str:
    message = next(iter(str(fault).splitlines()), type(fault).__name__)
    waited = f"waited {patience.seconds():g} s ({patience.VARIABLE})"
    if not isinstance(fault, sqlite3.Error):
        return f"{message}; {waited}, check that the server runs, its name and the sign-in"
    code = _sqlite_code(fault)
    if code in LOCKED:
        return f"another process holds it locked; {waited}, end that process or run again later"
    return _FIXES.get(code, f"SQLite says: {message}; check the file, or restore it from a copy")
