"""Descriptions in Markdown on MLflow's pages, of a run and of an experiment; what a person wrote stays."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator

from mlflow.exceptions import MlflowException

from mammogan.tracking import authorship
from mammogan.tracking.server import KIND, NOTE, TAG_LENGTH, VERDICT, client, find_runs

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def never_fatal() -> Generator[None]:
    """Log what keeps a page from being brought up to date, and go on: none of it is a result."""
    try:
        yield
    except (MlflowException, ValueError, OSError) as error:
        logger.info(f"MLflow's page of the run is not brought up to date: {error}", exc_info=True)


def latest_decided(run_id: str, tracking_uri: str = "") -> str:
    """Run id of the pipeline run that started last among those of the run's experiment with a decision, or empty."""
    mlflow = client(tracking_uri)
    runs = find_runs(mlflow, [mlflow.get_run(run_id).info.experiment_id], {KIND: "pipeline"})
    return next((run.info.run_id for run in reversed(runs) if VERDICT in run.data.tags), "")


def describe_run(run_id: str, text: str, tracking_uri: str = "") -> None:
    """Put the text in place of the run's description, unless that is a person's."""
    mlflow = client(tracking_uri)
    if authorship.is_ours(mlflow.get_run(run_id).data.tags.get(NOTE)):
        mlflow.set_tag(run_id, NOTE, authorship.sealed(text, TAG_LENGTH))


def describe_experiment(run_id: str, text: str, tracking_uri: str = "") -> None:
    """Put what a pipeline run came to in place of its experiment's description, unless that is a person's.

    Not where a run that started later has decided by now. MLflow shows the first line above every page.
    """
    mlflow = client(tracking_uri)
    run, latest = mlflow.get_run(run_id), latest_decided(run_id, tracking_uri)
    if latest not in ("", run_id) and mlflow.get_run(latest).info.start_time > run.info.start_time:
        return
    if authorship.is_ours(mlflow.get_experiment(run.info.experiment_id).tags.get(NOTE)):
        mlflow.set_experiment_tag(run.info.experiment_id, NOTE, authorship.sealed(text, TAG_LENGTH))
