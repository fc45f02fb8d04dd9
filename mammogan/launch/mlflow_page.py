"""Where a run is looked at in MLflow: an address, or for a database file the command that serves and opens it."""

from __future__ import annotations

import os
import shlex
import urllib.parse
from pathlib import Path

from mammogan import shell
from mammogan.addresses import masked
from mammogan.launch import store

UI_URL = "MLFLOW_UI_URL"
"""MLflow's address for browsers, where programs reach it by another one: a variable of the person, else a key of the
steps' ConfigMap."""


def link(run_id: str, tracking_uri: str) -> str:
    """Address of a pipeline run's view, ``#/...`` behind the server's; of a database file ``open_command``."""
    server = address(tracking_uri)
    return f"{server}/{fragment(run_id, tracking_uri)}" if server else open_command(tracking_uri)


def fragment(run_id: str, tracking_uri: str) -> str:
    """The part of that address behind the server's."""
    from mammogan.tracking import links

    return links.fragment(run_id, tracking_uri)


def address(tracking_uri: str) -> str:
    """MLflow's address for browsers without what signs in; empty where ``tracking_uri`` is no server's."""
    if is_file(tracking_uri):
        return ""
    named = os.environ.get(UI_URL) or tracking_uri
    parts = urllib.parse.urlsplit(named)
    if parts.scheme not in ("http", "https"):
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def open_command(tracking_uri: str) -> str:
    """Command that opens MLflow's pages of a store in the browser; of a server its address."""
    if not is_file(tracking_uri):
        return masked(tracking_uri)
    out = folder_of(tracking_uri)
    if out is None:
        return f"{shell.command('mlflow')} ui --backend-store-uri {shlex.quote(tracking_uri)}"
    given = "" if store.is_default(tracking_uri) else f" --out {shlex.quote(shell.near(out))}"
    return f"{shell.command('mammogan')} ui{given}"


def is_file(tracking_uri: str) -> bool:
    """Whether an address is that of a SQLite database."""
    return tracking_uri.startswith(("sqlite:", "sqlite+"))


def folder_of(tracking_uri: str) -> Path | None:
    """Folder of runs whose MLflow an address is; None for any other."""
    from mammogan import tracking

    file = tracking.file_of(tracking_uri)
    return file.parent if file and file.name == store.DATABASE else None
