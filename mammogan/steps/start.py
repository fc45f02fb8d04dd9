"""Open the run in MLflow before anything else."""

from __future__ import annotations

from pathlib import Path

from mammogan import config, console, tether, tracking
from mammogan.steps import presentation


def run(settings: str, kubeflow_run: str, experiment: str, source: str, link: Path) -> str:
    """Run id of the parent run, found or opened, under which every later step writes; earlier runs are ended.

    ``link`` is the file to write with the link to it, in Markdown.
    """
    console.configure_step()
    tether.hold()
    chosen = config.parse(settings)
    tags = {"kfp.pipeline_run_id": kubeflow_run, "mammogan.source": source}
    run_id = tracking.begin(experiment, kubeflow_run, chosen, tags=tags)
    presentation.update(run_id)
    presentation.write_link(run_id, link)
    return run_id
