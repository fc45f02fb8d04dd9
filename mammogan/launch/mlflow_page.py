"""How MLflow's pages of a store are opened from here: by its address, or for a database file by a command."""

from __future__ import annotations

import shlex
from pathlib import Path

from mammogan import shell
from mammogan.addresses import DATABASE, masked
from mammogan.launch import store


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
    return file.parent if file and file.name == DATABASE else None
