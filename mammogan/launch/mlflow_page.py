"""Where a run is looked at in MLflow: an address, or for a database file the command that serves and opens it."""

from __future__ import annotations

import shlex
from pathlib import Path

from mammogan import shell
from mammogan.addresses import masked
from mammogan.launch import store


def link(run_id: str, tracking_uri: str) -> str:
    """Link to the view of a pipeline run, ``tracking.links.link``; of a database file ``open_command``."""
    from mammogan.tracking import links

    return open_command(tracking_uri) if is_file(tracking_uri) else links.link(run_id, tracking_uri)


def fragment(run_id: str, tracking_uri: str) -> str:
    """The part of that link behind the server's address."""
    from mammogan.tracking import links

    return links.fragment(run_id, tracking_uri)


def address(tracking_uri: str) -> str:
    """MLflow's address for browsers without what signs in; empty where ``tracking_uri`` is no server's."""
    from mammogan.tracking import links
    from mammogan.tracking.database import is_database

    return "" if is_database(tracking_uri) else links.reach(tracking_uri).address


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
