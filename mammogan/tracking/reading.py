"""Reading a run back: all that the report, the comparison and the lineage need."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run

from mammogan import codec, results
from mammogan.config import Config, Trial
from mammogan.data import summary
from mammogan.data.summary import MinoritySummary
from mammogan.records import RunRecord, TrialRecord
from mammogan.results import GENERATOR_LOSS, GRADIENT_NORM, WASSERSTEIN, Decision, Evaluation, TrialResult, WinnerResult
from mammogan.tracking import stored
from mammogan.tracking.findings import read_findings
from mammogan.tracking.runs import find_parent, pipeline_run
from mammogan.tracking.server import (
    CONFIG_FILE,
    DECISION_FILE,
    EVALUATION_FILE,
    KIND,
    MODEL_VERSION,
    PARENT,
    PROMOTION,
    REASON,
    REPORT,
    REPORT_PAGE,
    RESULT_FILE,
    SUMMARY_FILE,
    TRIAL,
    TRIAL_FILE,
    client,
    find_runs,
)
from mammogan.training.trial_folder import GRIDS, epoch_of

logger = logging.getLogger(__name__)

CURVES = (WASSERSTEIN, GRADIENT_NORM, GENERATOR_LOSS)
"""What is read back of a training, epoch by epoch."""
Result = TypeVar("Result", Decision, Evaluation, TrialResult, WinnerResult)


def read_run(run_id: str, tracking_uri: str = "") -> RunRecord:
    """The pipeline run of that id, or that a trial's run belongs to, and its trials with everything they logged.

    What was never logged is empty. Raises ValueError where there is no such run, FileNotFoundError where artifacts that
    it had are gone, and ``codec.OlderFormatError`` for one of another version.
    """
    mlflow = client(tracking_uri)
    run = pipeline_run(run_id, tracking_uri)
    parent_id = run.info.run_id
    if parent_id != run_id:
        logger.info(f"run {run_id} is a part of {run.info.run_name} ({parent_id}), which is read instead")
    children = find_runs(mlflow, [run.info.experiment_id], {PARENT: parent_id, KIND: "trial"})
    trials = sorted(
        (_read_trial(mlflow, child) for child in children), key=lambda item: dataclasses.astuple(item.trial)
    )
    return RunRecord(
        run_id=parent_id,
        name=run.info.run_name or parent_id,
        experiment=mlflow.get_experiment(run.info.experiment_id).name,
        status=run.info.status,
        started_ms=run.info.start_time,
        ended_ms=run.info.end_time,
        params=run.data.params,
        tags=run.data.tags,
        config=_read_config(mlflow, run),
        data=_read_data(mlflow, run),
        decision=_read_result(mlflow, run, Decision, DECISION_FILE),
        trials=tuple(sorted(trials, key=lambda item: dataclasses.astuple(item.trial))),
        findings=dataclasses.replace(
            read_findings(parent_id, tracking_uri), result=_read_result(mlflow, run, WinnerResult, RESULT_FILE)
        ),
    )


def _read_trial(mlflow: MlflowClient, run: Run) -> TrialRecord:
    run_id = run.info.run_id
    keys = [key for key in CURVES if key in run.data.metrics]
    history = {key: [(m.step, m.value) for m in mlflow.get_metric_history(run_id, key)] for key in keys}
    return TrialRecord(
        run_id=run_id,
        trial=Trial.parse(run.data.tags[TRIAL]),
        status=run.info.status,
        tags=run.data.tags,
        training=_read_result(mlflow, run, TrialResult, TRIAL_FILE),
        evaluation=_read_result(mlflow, run, Evaluation, EVALUATION_FILE),
        history={key: sorted(points) for key, points in history.items()},
        grids=_read_grids(mlflow, run_id),
    )


def _read_result(mlflow: MlflowClient, run: Run, kind: type[Result], name: str) -> Result | None:
    content = stored.read(mlflow, run, name)
    return results.parse(kind, content, f"run {run.info.run_id}: {name}") if content else None


def _read_config(mlflow: MlflowClient, run: Run) -> Config | None:
    content = stored.read(mlflow, run, CONFIG_FILE)
    if not content:
        return None
    where = f"run {run.info.run_id}: {CONFIG_FILE}"
    try:
        return codec.decode(Config, codec.parsed(content, where), where)
    except ValueError as error:
        raise codec.OlderFormatError(
            f"{error}: the settings are not those of this version of mammogan, but of an older or a newer one"
        ) from error


def _read_data(mlflow: MlflowClient, run: Run) -> MinoritySummary | None:
    content = stored.read(mlflow, run, SUMMARY_FILE)
    parsed = summary.parse(content, f"run {run.info.run_id}: {SUMMARY_FILE}") if content else None
    return parsed if isinstance(parsed, MinoritySummary) else None


def _read_grids(mlflow: MlflowClient, run_id: str) -> dict[int, bytes]:
    """PNG of each ``grids/epoch_0001.png`` by its epoch, and of no file of another name."""
    if GRIDS not in stored.names(mlflow, run_id):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(Path(mlflow.download_artifacts(run_id, GRIDS, folder)).glob("epoch_*.png"))
        by_epoch = ((epoch_of(path.name), path) for path in paths)
        return {epoch: path.read_bytes() for epoch, path in by_epoch if epoch is not None and path.is_file()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a person wants to know when a run has ended."""

    status: str
    """MLflow's status: FINISHED, FAILED or KILLED."""
    reason: str
    """Why it did not finish; empty where it did."""
    decision: Decision | None
    """The selection's decision; None where it was not reached."""
    result: WinnerResult | None
    """The winner's figures on test images; None where that was not reached."""
    failed: Mapping[str, str]
    """Trials that did not finish, with the reason."""
    report: Path | None
    """The report's page, or None where there is none."""
    version: str
    """Version of the registered model; empty where none was registered."""
    promotion: str
    """Why that version became champion, or why not; empty where it was not asked."""


def outcome(run_key: str, folder: Path, tracking_uri: str = "") -> Outcome:
    """How the run of that key ended, its report copied to ``folder``. Raises LookupError where there is no such run."""
    parent_id = find_parent(run_key, tracking_uri)
    if parent_id is None:
        raise LookupError(f"run_key={run_key!r}: MLflow has no run of that key")
    mlflow, record = client(tracking_uri), read_run(parent_id, tracking_uri)
    page = None
    if REPORT in stored.names(mlflow, parent_id):
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(mlflow.download_artifacts(parent_id, REPORT, scratch), folder, dirs_exist_ok=True)
        page = folder / REPORT_PAGE
    failed = {item.trial.name: item.reason for item in record.trials if item.status != "FINISHED"}
    version, promotion = (record.tags.get(name, "") for name in (MODEL_VERSION, PROMOTION))
    reason = record.tags.get(REASON, "")
    result = record.findings.result
    return Outcome(record.status, reason, record.decision, result, failed, page, version, promotion)
