"""Real images against real ones: a run beside the trials, so that the reference is a line in every chart of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from mammogan.reporting.figures import PALE
from mammogan.results import Evaluation
from mammogan.tracking import points
from mammogan.tracking.runs import LAMBDA, RUN_COLOUR, find_or_create, log_params
from mammogan.tracking.server import KIND, PARENT, REFERENCE_KIND, RUN_NAME, client
from mammogan.tracking.tables import METRICS_FILE, log_table, measurements_table

NAME = "real against real"


def log_measurements(parent_id: str, evaluations: Sequence[Evaluation], tracking_uri: str = "") -> None:
    """Log what all trials of a pipeline run measured as a table, and what real images give as a line beside theirs."""
    log_table(client(tracking_uri), parent_id, METRICS_FILE, measurements_table(evaluations).document())
    log_reference(parent_id, evaluations, tracking_uri)


def log_reference(parent_id: str, evaluations: Sequence[Evaluation], tracking_uri: str = "") -> None:
    """Log what each metric comes to among real images, at every epoch at which a trial was measured, grey.

    Nothing where nothing has a reference. Logged again, each point is there once.
    """
    references = {
        (item.key, item.epoch): item.reference
        for each in evaluations
        for item in each.measurements
        if item.reference is not None and item.epoch is not None and item.quantity.pairing != "real_real"
    }
    if not references:
        return
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    run_id = find_or_create(
        mlflow, experiment, {PARENT: parent_id, KIND: REFERENCE_KIND}, {RUN_NAME: NAME, RUN_COLOUR: PALE}
    )
    log_params(mlflow, run_id, {LAMBDA: NAME})
    points.log_missing(mlflow, run_id, references)
    mlflow.set_terminated(run_id, "FINISHED")
