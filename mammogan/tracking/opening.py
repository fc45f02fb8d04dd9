"""The begin of a pipeline run: its parent run, its record, and an end for earlier runs that nobody closed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mammogan import cluster
from mammogan.config import Config
from mammogan.graph import Step
from mammogan.ledger import UnknownEntryError
from mammogan.tracking.ending import end_if_over
from mammogan.tracking.ledger import step
from mammogan.tracking.runs import describe_parent, find_or_create_parent, key_of
from mammogan.tracking.server import CLUSTER, KIND, WORKFLOW, client, find_runs, require_model_name

logger = logging.getLogger(__name__)


def begin(experiment: str, run: str, config: Config, tags: Mapping[str, str], tracking_uri: str = "") -> str:
    """Run id of the parent run of Kubeflow's run ``run``, found or created, described, and its record begun.

    Earlier runs of the experiment whose workflow is over or gone, and that still count as running, are ended. Raises
    ValueError where the run of that key was made with another configuration, and where the model's name, which is
    needed when all is trained, is a prompt's.
    """
    run_id = find_or_create_parent(experiment, key_of(run), config, tags, tracking_uri)
    with step(run_id, Step.START, tracking_uri):
        require_model_name(client(tracking_uri), config.select.model_name)
        describe_parent(
            run_id, config, {**tags, WORKFLOW: cluster.own_workflow(), CLUSTER: cluster.identity()}, tracking_uri
        )
        _end_abandoned(run_id, tracking_uri)
    return run_id


def _end_abandoned(run_id: str, tracking_uri: str) -> None:
    mlflow = client(tracking_uri)
    for run in find_runs(mlflow, [mlflow.get_run(run_id).info.experiment_id], {KIND: "pipeline"}):
        if run.info.status != "RUNNING" or run.info.run_id == run_id:
            continue
        try:
            ended = end_if_over(run.info.run_id, tracking_uri)
        except UnknownEntryError as error:  # another version's record must not keep this run from starting
            logger.info(f"could not look after {run.info.run_name}: {error}")
            continue
        if ended:
            logger.info(f"ended {run.info.run_name}, which nobody had closed: {ended.status} {ended.reason}")
