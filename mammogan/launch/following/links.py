"""Where a person looks at a run: Kubeflow's page and MLflow's. A link that leads nowhere is not given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammogan.addresses import UI_URL, sign_in_of
from mammogan.launch import kubectl, mlflow_page
from mammogan.launch.server import OWN_NAMESPACE

if TYPE_CHECKING:
    from mammogan.launch.server import Server

QUICK_S = 5.0
FORWARDED_PORT = 8080


@dataclass(frozen=True)
class Links:
    """The two pages of a run."""

    kubeflow: str
    """Address of its page, or its id and how to open it."""
    mlflow: str = ""
    """MLflow's address for browsers, or the command that opens it; empty where neither is known."""

    tracking_uri: str = ""
    """MLflow as this machine reaches it."""

    def view(self, experiment_id: str, run_key: str = "") -> str:
        """MLflow's view of the run of that key, of the latest one without; the experiments, where its own is not known.

        It is the same before the run was opened in MLflow as afterwards.
        """
        from mammogan.tracking import views

        path = views.path(experiment_id, run_key or views.LATEST, self.tracking_uri) if experiment_id else ""
        return self._page(path or "#/experiments")

    def _page(self, path: str) -> str:
        return f"{self.mlflow}/{path}" if self.mlflow.startswith("http") else self.mlflow


def links(server: Server, run_id: str, tracking_uri: str = "", settings: str = "mammogan") -> Links:
    """Both pages of a run; ``settings`` names the ConfigMap of the steps, ``tracking_uri`` MLflow for this machine."""
    return Links(_kubeflow(server, run_id), _mlflow(server, tracking_uri, settings), tracking_uri)


def _kubeflow(server: Server, run_id: str) -> str:
    if not server.forwarded and server.has_ui():
        return server.link("runs/details", run_id)
    page = f"http://localhost:{FORWARDED_PORT}/#/runs/details/{run_id}"
    forward = f"kubectl port-forward -n {OWN_NAMESPACE} service/ml-pipeline-ui {FORWARDED_PORT}:80"
    return f"run {run_id} ({forward} shows it at {page})"


def _mlflow(server: Server, tracking_uri: str, settings: str) -> str:
    named = os.environ.get(UI_URL) or _in_config_map(server, settings)
    address = sign_in_of(named or tracking_uri)[0]
    if address.startswith(("http://", "https://")):
        return address.rstrip("/")
    return mlflow_page.open_command(tracking_uri) if mlflow_page.is_file(tracking_uri) else ""


def _in_config_map(server: Server, settings: str) -> str:
    try:
        namespace = server.pods_namespace()
        config_map = kubectl.ask("get", "configmap", settings, "--namespace", namespace, timeout_s=QUICK_S)
    except (LookupError, RuntimeError):
        return ""
    return config_map.text("data", UI_URL)
