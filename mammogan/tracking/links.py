"""The link that opens a run's view, as a step, the report and Kubeflow's page give it.

MLflow's address for browsers is ``$MLFLOW_UI_URL``. Without it the link is that of the tracking server, and where only
pods reach that, or where MLflow is a database file, it comes with the command that makes it work.
"""

from __future__ import annotations

import os
import re
import shlex
import urllib.parse
from dataclasses import dataclass

import mlflow

from mammogan.addresses import DATABASE, UI_URL, masked, sign_in_of
from mammogan.tracking import views
from mammogan.tracking.database import file_of, is_database
from mammogan.tracking.server import RUN_KEY, client

SERVED_AT = "http://127.0.0.1:5000"
"""Where ``mammogan ui`` serves a database."""
FIRST_FREE = 1024
"""Port from which on everybody may listen."""
_SERVICE = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(?:\.cluster\.local)?")
"""Host of a service inside a Kubernetes cluster."""


@dataclass(frozen=True)
class Reach:
    """How a browser comes to MLflow's pages."""

    address: str
    """The server's, without what signs in."""
    command: str = ""
    """Command that has to run meanwhile; empty where none has to."""

    def link(self, path: str) -> str:
        """A page's address, with the command where it needs one."""
        page = f"{self.address}/{path}"
        return f"{page} (while `{self.command}` runs)" if self.command else page


def link(run_id: str, tracking_uri: str = "") -> str:
    """Link to the view of a pipeline run, as a person may use it."""
    return reach(tracking_uri).link(fragment(run_id, tracking_uri))


def fragment(run_id: str, tracking_uri: str = "") -> str:
    """The part of that link behind the server's address."""
    run = client(tracking_uri).get_run(run_id)
    return views.path(run.info.experiment_id, run.data.tags.get(RUN_KEY, views.LATEST), tracking_uri)


def reach(tracking_uri: str = "") -> Reach:
    """How a browser comes to the pages of the MLflow at ``tracking_uri``, or of this process's."""
    uri = tracking_uri or mlflow.get_tracking_uri()
    if named := os.environ.get(UI_URL):
        return Reach(sign_in_of(named)[0].rstrip("/"))
    if is_database(uri):
        return Reach(SERVED_AT, _serving(uri))
    address = sign_in_of(uri)[0].rstrip("/")
    parts = urllib.parse.urlsplit(address)
    service = _SERVICE.fullmatch(parts.hostname or "")
    if service is None:
        return Reach(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    here = port if port >= FIRST_FREE else port + 8000
    forward = f"kubectl port-forward -n {service['namespace']} service/{service['name']} {here}:{port}"
    return Reach(parts._replace(netloc=f"localhost:{here}").geturl(), forward)


def _serving(uri: str) -> str:
    """Command that serves the pages of a database, as it is typed in the folder above that of the runs."""
    file = file_of(uri)
    if file is not None and file.name == DATABASE:
        return f"mammogan ui --out {shlex.quote(file.parent.name)}"  # a page that is handed on tells no more of a disk
    return f"mlflow ui --backend-store-uri {shlex.quote(masked(uri))}"
