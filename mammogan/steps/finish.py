"""The end of a pipeline run: its true status, by the record of its steps, and its report."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from mammogan import cluster, console, errors, registry, storage, tether, tracking
from mammogan.graph import Step
from mammogan.reporting import pages, report
from mammogan.steps import presentation

logger = logging.getLogger(__name__)


def run(kubeflow_run: str, workflow: str, page: Path) -> None:
    """End Kubeflow's run ``kubeflow_run`` as its record says, log its report and copy the page to ``page``.

    ``workflow`` names Argo's workflow in this pod's namespace, which tells whether the run was terminated and why a pod
    was lost. The run is ended before the report is built, so that no fault of the report leaves it RUNNING. Raises
    RuntimeError where not even the parent run was opened, after a page that says so.
    """
    console.configure_step()
    tether.hold()
    try:
        parent_id = tracking.parent_of(kubeflow_run)
    except RuntimeError as error:
        storage.write_bytes(str(page), pages.message("No report", errors.reason(error)))
        raise
    with tracking.step(parent_id, Step.FINISH):
        fate = cluster.fate(cluster.own_name(workflow), tracking.read_ledger(parent_id))
        ended = tracking.end(parent_id, fate)
        logger.info(f"the run {ended.status}{f': {ended.reason}' if ended.reason else ''}")
        with tempfile.TemporaryDirectory() as folder:
            built = rebuild(parent_id, Path(folder))
            tracking.log_artifact(parent_id, built.parent, tracking.REPORT)
            presentation.update(parent_id)
            page.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(built, page)


def rebuild(parent_id: str, out: Path, tracking_uri: str = "") -> Path:
    """Write a run's report to ``out``, from what MLflow and its registry hold now; returns its page.

    Raises ValueError where there is no run of that id, or one of another version.
    """
    record = tracking.read_run(parent_id, tracking_uri)
    production = registry.in_production(record.config.select.model_name, tracking_uri) if record.config else None
    return report.build(record, out, production, presentation.link(parent_id, tracking_uri))
