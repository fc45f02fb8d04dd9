"""MLflow's web pages of a folder of runs."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from mammogan.launch.local import DATABASE

HOST = "127.0.0.1"


def serve(out: Path, port: int) -> None:
    """Become MLflow's server of the runs below ``out`` on this machine's ``port``; does not return.

    Raises ValueError where there are no runs, or the port is another program's.
    """
    from mammogan import tracking

    address = tracking.address_of(out.resolve() / DATABASE)
    tracking.client(address)
    _require_free(port)
    options = ("--backend-store-uri", address, "--host", HOST, "--port", str(port))
    os.execv(sys.executable, (sys.executable, "-m", "mlflow", "ui", *options))  # noqa: S606  (no shell is needed)


def _require_free(port: int) -> None:
    """MLflow would say so in many lines, and end as if all were well."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = "in use by another program" if error.errno == errno.EADDRINUSE else error.strerror
            raise ValueError(f"--port={port}: {reason}; give another one") from error
