"""A run's page in MLflow: of a server in the browser at once, of a folder of runs once they are served here."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan.launch import browser as browsers
from mammogan.launch import mlflow_page, store

if TYPE_CHECKING:
    from mammogan.tracking.links import Reach

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
PORTS = range(5000, 5020)
"""Where MLflow's pages are served unless a port is named; other programs like the first one too."""


def address_of(out: Path | None, tracking_uri: str) -> str:
    """MLflow's address: that of the folder of runs where one is given, else the one that is named.

    Raises ValueError where neither is, and there is no folder ``runs``.
    """
    if out is not None:
        return store.address_of(out)
    if not tracking_uri:
        raise ValueError("--out=None: there are no runs in ./runs; give the --out of a run, or --tracking-uri")
    return tracking_uri


def open_run(name: str, tracking_uri: str, port: int | None = None, *, browser: bool = True) -> None:
    """Print and open the page of the run that ``name`` means; becomes the server of a database and does not return.

    Without a port it is the first free one from 5000 on. Raises ValueError where there is no such run, or the port is
    another program's.
    """
    from mammogan import tracking
    from mammogan.tracking import links

    run_id = tracking.find_run(name, tracking_uri)
    if not mlflow_page.is_file(tracking_uri):
        _open(links.reach(tracking_uri), links.fragment(run_id, tracking_uri), browser=browser)
        return
    port = _free_port() if port is None else port
    _require_free(port)
    page = f"http://{HOST}:{port}/{links.fragment(run_id, tracking_uri)}"
    logger.info(f"MLflow: {page} (Ctrl-C ends it)")
    if browser and browsers.has_window():
        subprocess.Popen([sys.executable, "-m", browsers.__name__, page])  # noqa: S603  (our own module)
    options = ("--backend-store-uri", tracking_uri, "--host", HOST, "--port", str(port))
    os.execv(sys.executable, (sys.executable, "-m", "mlflow", "ui", *options))  # noqa: S606  (no shell is needed)


def _open(reach: Reach, fragment: str, *, browser: bool) -> None:
    """Print a page of a server, and open it where no other command has to run for it."""
    logger.info(f"MLflow: {reach.link(fragment)}")
    if browser and not reach.command and browsers.has_window():
        webbrowser.open(reach.link(fragment))


def _free_port() -> int:
    """The first port that nobody has, or the usual one where all are taken: who asks for that is told."""
    for port in PORTS:
        with contextlib.suppress(ValueError):
            _require_free(port)
            return port
    return PORTS[0]


def _require_free(port: int) -> None:
    """MLflow would say so in many lines, and end as if all were well."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = "in use by another program" if error.errno == errno.EADDRINUSE else error.strerror
            raise ValueError(f"--port={port}: {reason}; give another one") from error
