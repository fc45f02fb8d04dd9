"""The time by the clock of MLflow's server, which all who write to it share, whatever their own clocks say."""

from __future__ import annotations

import logging
import time
from email.utils import parsedate_to_datetime

import mlflow
import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from mammogan.tracking.database import is_database

logger = logging.getLogger(__name__)

ANSWER_S = 5
_NOW = {"postgresql": "SELECT EXTRACT(EPOCH FROM now())", "mysql": "SELECT UNIX_TIMESTAMP(now(3))"}
"""Seconds since 1970 by the database's clock; SQLite has none but this machine's."""


def now_ms(tracking_uri: str = "") -> int:
    """Milliseconds since 1970 by the clock of the server, or of the database, at ``tracking_uri``; to the second.

    Empty is the server that this process talks to. By this process's own clock where the other one cannot be asked.
    """
    uri = tracking_uri or mlflow.get_tracking_uri()
    seconds = _of_database(uri) if is_database(uri) else _of_server(uri)
    if seconds is None:
        logger.debug("MLflow's server does not tell the time; this machine's clock must do")
        return time.time_ns() // 1_000_000
    return int(seconds * 1000)


def _of_server(uri: str) -> float | None:
    """By the ``Date`` of an answer, which HTTP asks every server for that has a clock."""
    try:
        answer = http_request(
            get_default_host_creds(uri), "/health", "GET", max_retries=0, raise_on_status=False, timeout=ANSWER_S
        )
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (MlflowException, KeyError, ValueError):
        return None


def _of_database(uri: str) -> float | None:
    dialect = uri.partition(":")[0].partition("+")[0]
    if dialect not in _NOW:
        return None
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return float(connection.execute(sqlalchemy.text(_NOW[dialect])).scalar_one())
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()
