"""The experiment in MLflow: one parent run per pipeline run, one child run per branch, and reading them back.

Everything goes through ``MlflowClient`` with explicit run ids. The fluent API would adopt the run that Kubeflow's
MLflow plugin announces in ``MLFLOW_RUN_ID``, and would end runs that are not its own.

Runs are found by tags, so a step that starts twice finds the run of its first start: the parent by
``mammogan.run_key``, a child by its parent and ``mammogan.branch``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mammogan.config import Branch, Config
from mammogan.console import say
from mammogan.records import BranchRecord, RunRecord
from mammogan.spool import Record, Spool

RUN_KEY = "mammogan.run_key"
BRANCH = "mammogan.branch"
STATUS = "mammogan.status"
REASON = "mammogan.reason"
KIND = "mammogan.kind"
DATA_DIGEST = "mammogan.data_digest"
VERDICT = "mammogan.verdict"
PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"

CONFIG_FILE = "config.json"
BRANCH_FILE = "branch.json"
EVALUATION_FILE = "evaluation.json"
DECISION_FILE = "decision.json"
SUMMARY_FILE = "summary.json"
MANIFEST_FILE = "manifest.csv"
GRIDS = "grids"
REPORT = "report"
REPORT_PAGE = "report.html"

logging.getLogger("mlflow").setLevel(logging.WARNING)  # it announces every database it makes

METRICS_AT_ONCE = 1000  # MLflow's limits for one log_batch
PARAMS_AT_ONCE = 100
Step = Literal["train", "evaluate"]
RESULT_FILES: dict[Step, str] = {"train": BRANCH_FILE, "evaluate": EVALUATION_FILE}
DIGEST_LENGTH = 36
PARAM_LENGTH = 6000
TAG_LENGTH = 5000


def client(tracking_uri: str = "") -> MlflowClient:
    """Client of ``tracking_uri``, or of ``MLFLOW_TRACKING_URI`` where that is empty.

    Unless the environment says otherwise it retries a silent server for about a minute, not for MLflow's four.
    Raises ValueError where neither names a server.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise ValueError("MLFLOW_TRACKING_URI='': name the MLflow server, or sqlite:///runs/mlflow.db for a local one")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return MlflowClient(tracking_uri=uri)


def ensure_experiment(experiment: str, artifacts: str = "", tracking_uri: str = "") -> str:
    """Id of the experiment of that name, created where there is none; two that ask at once get the same one.

    ``artifacts`` is where a new experiment keeps its artifacts; empty leaves it to the server.
    Raises ValueError for an experiment that was deleted.
    """
    mlflow = client(tracking_uri)
    found = mlflow.get_experiment_by_name(experiment)
    if found is None:
        with suppress(MlflowException):  # another process created it since we looked; else the check below says so
            return mlflow.create_experiment(experiment, artifacts or None)
        found = mlflow.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        raise ValueError(f"experiment={experiment!r}: it cannot be used; restore it in MLflow or choose another name")
    return found.experiment_id


def _find_runs(mlflow: MlflowClient, experiment: str, tags: Mapping[str, str]) -> list[Run]:
    """Runs of an experiment (its id) that carry all the tags, oldest first."""
    for name, value in tags.items():
        if "'" in value:
            raise ValueError(f"{name}={value!r}: leave out the quote")
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    runs = mlflow.search_runs([experiment], query, ViewType.ACTIVE_ONLY, order_by=["start_time ASC", "run_id ASC"])
    return list(runs)


def find_parent(experiment: str, run_key: str, tracking_uri: str = "") -> str | None:
    """Run id of the parent run with that key, or None."""
    mlflow = client(tracking_uri)
    found = mlflow.get_experiment_by_name(experiment)
    runs = _find_runs(mlflow, found.experiment_id, {RUN_KEY: run_key}) if found else []
    return runs[0].info.run_id if runs else None


def _find_or_create(mlflow: MlflowClient, experiment: str, key: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Run id of the oldest run with the tags ``key``, set RUNNING; created with ``tags`` too where there is none.

    Where two processes create at once, both keep the older run and the younger one is deleted by its creator.
    """
    runs = _find_runs(mlflow, experiment, key)
    if not runs:
        created = mlflow.create_run(experiment, tags={**tags, **key}).info.run_id
        runs = _find_runs(mlflow, experiment, key)
        if runs[0].info.run_id != created:
            mlflow.delete_run(created)
    run = runs[0]
    if run.info.status != "RUNNING":
        mlflow.update_run(run.info.run_id, status="RUNNING")
    return run.info.run_id


def _log_params(mlflow: MlflowClient, run_id: str, config: Config, extra: Mapping[str, object]) -> None:
    """Log the configuration once. Raises ValueError where the run already has another value."""
    values = {f"cfg.{name}": _text(value) for name, value in {**config.flat(), **extra}.items()}
    try:
        _log_missing_params(mlflow, run_id, values)
    except MlflowException:  # another process logged them since we looked
        _log_missing_params(mlflow, run_id, values)


def _log_missing_params(mlflow: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    known = mlflow.get_run(run_id).data.params
    for name, value in values.items():
        if known.get(name, value) != value:
            raise ValueError(f"{name}={value!r}: run {run_id} already has {known[name]!r}; start a new run")
    params = [Param(name, value) for name, value in values.items() if name not in known]
    for start in range(0, len(params), PARAMS_AT_ONCE):
        mlflow.log_batch(run_id, params=params[start : start + PARAMS_AT_ONCE])


def _text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:PARAM_LENGTH]


def open_parent(experiment: str, run_key: str, config: Config, tags: Mapping[str, str], tracking_uri: str = "") -> str:
    """Run id of the pipeline run's parent run, found by ``run_key`` or created, and RUNNING again.

    Logs the configuration as parameters ``cfg.*`` and as ``config.json``. Inside a task of Kubeflow's MLflow plugin
    the plugin's own top run becomes the parent, so that the two do not stand side by side.
    Raises ValueError where the run of that key was made with another configuration.
    """
    mlflow = client(tracking_uri)
    announced = os.environ.get("MLFLOW_RUN_ID", "")
    if announced:
        run_id = _adopt(mlflow, announced, run_key)
    else:
        name = tags.get("kfp.pipeline_run_id") or run_key
        key, other = {RUN_KEY: run_key}, {RUN_NAME: f"{config.preset} {name[:8]}", KIND: "pipeline"}
        run_id = _find_or_create(mlflow, ensure_experiment(experiment, tracking_uri=tracking_uri), key, other)
    _log_params(mlflow, run_id, config, {})
    mlflow.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items() if value])
    mlflow.log_dict(run_id, config.to_dict(), CONFIG_FILE)
    return run_id


def _adopt(mlflow: MlflowClient, announced: str, run_key: str) -> str:
    """Top run above the run that the plugin announced, marked as ours."""
    run = mlflow.get_run(announced)
    while above := run.data.tags.get(PARENT):
        run = mlflow.get_run(above)
    mlflow.set_tag(run.info.run_id, RUN_KEY, run_key)
    mlflow.set_tag(run.info.run_id, KIND, "pipeline")
    return run.info.run_id


def open_branch(parent_id: str, branch: Branch, config: Config, tracking_uri: str = "") -> str:
    """Run id of the branch's child run, found by its tags or created, and RUNNING again."""
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    key = {PARENT: parent_id, BRANCH: branch.name}
    run_id = _find_or_create(mlflow, experiment, key, {RUN_NAME: branch.name, KIND: "branch"})
    _log_params(mlflow, run_id, config, {"gp_lambda": branch.gp_lambda, "seed": branch.seed})
    return run_id


def find_branch(parent_id: str, branch: Branch, tracking_uri: str = "") -> str | None:
    """Run id of the branch's child run, or None."""
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    runs = _find_runs(mlflow, experiment, {PARENT: parent_id, BRANCH: branch.name})
    return runs[0].info.run_id if runs else None


def set_tags(run_id: str, tags: Mapping[str, str], tracking_uri: str = "") -> None:
    """Set tags of a run; empty values are left out."""
    client(tracking_uri).log_batch(run_id, tags=[RunTag(name, str(value)) for name, value in tags.items() if value])


def log_artifact(run_id: str, path: Path, folder: str = "", tracking_uri: str = "") -> None:
    """Store a file, or a folder's content, as an artifact of the run; the same name replaces the old one."""
    mlflow = client(tracking_uri)
    log = mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact
    log(run_id, str(path), folder or None)


def log_dataset(run_id: str, dataset: Path, summary: Mapping[str, Any], tracking_uri: str = "") -> None:
    """Record the data set folder as an input of the run, its manifest and summary as artifacts.

    ``summary`` holds its ``data_digest`` and what the UI shows beside it. The same digest twice is one input.
    """
    mlflow, data_digest = client(tracking_uri), summary["data_digest"]
    name = str(summary.get("name", "dataset"))
    source, profile = json.dumps({"data_digest": data_digest}), json.dumps(dict(summary))
    entity = Dataset(name, data_digest[:DIGEST_LENGTH], "mammogan", source, profile=profile)
    mlflow.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
    mlflow.set_tag(run_id, DATA_DIGEST, data_digest)
    for file in (SUMMARY_FILE, MANIFEST_FILE):
        if (dataset / file).is_file():
            mlflow.log_artifact(run_id, str(dataset / file))


def log_decision(parent_id: str, decision: Mapping[str, Any], tracking_uri: str = "") -> None:
    """Store the selection's decision as ``decision.json`` of the parent run, its verdict as a tag."""
    mlflow = client(tracking_uri)
    mlflow.log_dict(parent_id, dict(decision), DECISION_FILE)
    mlflow.set_tag(parent_id, VERDICT, decision["verdict"][:TAG_LENGTH])


def close(run_id: str, status: str, reason: str = "", tracking_uri: str = "") -> None:
    """End a run: FINISHED, FAILED or KILLED, with the reason as a tag."""
    mlflow = client(tracking_uri)
    mlflow.log_batch(run_id, tags=[RunTag(STATUS, status.lower()), RunTag(REASON, reason[:TAG_LENGTH])])
    mlflow.set_terminated(run_id, status)


def spool_folder() -> Path:
    """Where records wait for a silent server: ``$MAMMOGAN_CACHE/spool`` or ``~/.cache/mammogan/spool``."""
    return Path(os.environ.get("MAMMOGAN_CACHE", "~/.cache/mammogan")).expanduser() / "spool"


def branch_log(parent_id: str, branch: Branch, config: Config, step: Step, tracking_uri: str = "") -> BranchLog:
    """Log of the branch's child run for one step of the graph."""
    return BranchLog(_Sender(parent_id, branch, config, tracking_uri), step)


class BranchLog:
    """What a branch reports while it trains or is evaluated; no call waits for the server or raises for it.

    Records go through a spool; its thread opens the child run and sends them, in order. A point that the run already
    holds (same key and step) is not sent again, so a resumed training may report epochs twice. As a context manager
    it ends the run FAILED, or KILLED for an interruption, when an exception passes through, and waits for the spool.
    """

    def __init__(self, sender: _Sender, step: Step, patience_s: float = 600.0) -> None:
        self._sender, self._step, self._patience_s = sender, step, patience_s
        self._spool = Spool(spool_folder() / f"{sender.name}.jsonl", sender, "MLflow")

    @property
    def run_id(self) -> str:
        """Run id of the child run; asks the server for it where the spool has not yet."""
        return self._sender.run_id()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report numbers of one step, for instance an epoch. Those that are not finite are left out."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if lost := sorted(set(values) - set(finite)):
            say(f"step {step}: {', '.join(lost)} not finite, left out of MLflow")
        self._append({"kind": "metrics", "step": step, "values": finite})

    def grid(self, step: int, path: Path) -> None:
        """Store a PNG as ``grids/<name>`` and as a step of the image series ``samples``."""
        self._append({"kind": "grid", "step": step, "path": str(path.resolve())})

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags; None and empty values are left out."""
        self._append({"kind": "tags", "tags": {name: str(v) for name, v in values.items() if v not in (None, "")}})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Store the step's record, ``branch.json`` or ``evaluation.json``, and the branch's status.

        The child run ends with the evaluation; after a training that finished it stays RUNNING until then.
        """
        self._append({"kind": "json", "name": RESULT_FILES[self._step], "content": dict(result)})
        self.tags(_result_tags(result))
        if result["status"] != "finished":
            self._end("FAILED", f"{result['status']}: {result.get('reason') or 'no reason was recorded'}")
        elif self._step == "evaluate":
            self._end("FINISHED")

    def close(self) -> bool:
        """Wait for what was not sent yet, at most ``patience_s``; returns whether all was."""
        return self._spool.close(self._patience_s)

    def _end(self, status: str, reason: str = "") -> None:
        self._append({"kind": "end", "status": status, "reason": reason})

    def _append(self, record: Record) -> None:
        self._spool.append({**record, "time_ms": time.time_ns() // 1_000_000})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None:
            killed = issubclass(kind, (KeyboardInterrupt, SystemExit))
            self._end("KILLED" if killed else "FAILED", f"{self._step}: {kind.__name__}: {error}")
        self.close()


def _result_tags(result: Mapping[str, Any]) -> dict[str, object]:
    """Tags that say what a branch stands on: data, device, frozen weights, feature extractor."""
    parts = {"frozen": "name", "extractor": "name", "lpips": "name"}
    tags = {f"mammogan.{part}": (result.get(part) or {}).get(field) for part, field in parts.items()}
    return {**tags, DATA_DIGEST: result.get("data_digest"), "mammogan.device": result.get("device")}


class _Sender:
    """Callable that puts spooled records into the child run; the same records sent again change nothing."""

    def __init__(self, parent_id: str, branch: Branch, config: Config, tracking_uri: str) -> None:
        self.name = f"{parent_id}-{branch.name}"
        self._tracking_uri = tracking_uri
        self._open = functools.partial(open_branch, parent_id, branch, config, tracking_uri)
        self._run_id = ""
        self._steps: dict[str, set[int]] = {}
        """Steps that the run holds, for each metric key met so far."""

    def run_id(self) -> str:
        self._run_id = self._run_id or self._open()
        return self._run_id

    def __call__(self, records: Sequence[Record]) -> None:
        mlflow, run_id = client(self._tracking_uri), self.run_id()
        self._send_metrics(mlflow, run_id, [record for record in records if record["kind"] == "metrics"])
        for record in records:
            if record["kind"] != "metrics":
                self._send_other(mlflow, run_id, record)

    def _send_metrics(self, mlflow: MlflowClient, run_id: str, records: Sequence[Record]) -> None:
        fresh = [metric for metric in _points(records) if metric.step not in self._known(mlflow, run_id, metric.key)]
        for start in range(0, len(fresh), METRICS_AT_ONCE):
            batch = fresh[start : start + METRICS_AT_ONCE]
            _unless_refused(functools.partial(mlflow.log_batch, run_id, metrics=batch), f"{len(batch)} metrics")
            for metric in batch:
                self._steps[metric.key].add(metric.step)

    def _known(self, mlflow: MlflowClient, run_id: str, key: str) -> set[int]:
        if key not in self._steps:
            self._steps[key] = {metric.step for metric in mlflow.get_metric_history(run_id, key)}
        return self._steps[key]

    def _send_other(self, mlflow: MlflowClient, run_id: str, record: Record) -> None:
        actions = {
            "tags": lambda: set_tags(run_id, record["tags"], self._tracking_uri),
            "end": lambda: close(run_id, record["status"], record["reason"], self._tracking_uri),
            "json": lambda: mlflow.log_dict(run_id, record["content"], record["name"]),
            "grid": lambda: _log_grid(mlflow, run_id, record),
        }
        _unless_refused(actions[record["kind"]], f"a record of kind {record['kind']}")


def _points(records: Sequence[Record]) -> Iterator[Metric]:
    """Metrics of the records, each (key, step) once."""
    seen = set()
    for record in records:
        for key, value in record["values"].items():
            if (key, record["step"]) not in seen:
                seen.add((key, record["step"]))
                yield Metric(key, value, record["time_ms"], record["step"])


def _log_grid(mlflow: MlflowClient, run_id: str, record: Record) -> None:
    from PIL import Image

    path, prefix = Path(record["path"]), f"images/samples+step+{record['step']}+"
    mlflow.log_artifact(run_id, str(path), GRIDS)
    if not any(item.path.startswith(prefix) for item in mlflow.list_artifacts(run_id, "images")):
        with Image.open(path) as image:
            mlflow.log_image(
                run_id, image, key="samples", step=record["step"], timestamp=record["time_ms"], synchronous=True
            )


def _unless_refused(action: Any, what: str) -> None:  # noqa: ANN401  (a call without arguments, its result unused)
    """Do it; drop what the server refuses for good or what is gone, raise what may work later."""
    try:
        action()
    except MlflowException as error:
        status = error.get_http_status_code()
        if not 400 <= status < 500 or status in (408, 429):
            raise
        say(f"MLflow refuses {what}, left out: {error}")
    except FileNotFoundError as error:
        say(f"{what} left out of MLflow: no file at {error.filename}")


def close_branches(parent_id: str, reason: str, tracking_uri: str = "") -> list[str]:
    """End every child run that is still RUNNING as KILLED with the reason; returns their names."""
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    running = [run for run in _find_runs(mlflow, experiment, {PARENT: parent_id}) if run.info.status == "RUNNING"]
    for run in running:
        close(run.info.run_id, "KILLED", reason, tracking_uri)
    return [run.data.tags[RUN_NAME] for run in running]


def read_run(parent_id: str, tracking_uri: str = "") -> RunRecord:
    """The parent run and its branches with everything they logged; what is missing is empty."""
    mlflow = client(tracking_uri)
    run = mlflow.get_run(parent_id)
    children = _find_runs(mlflow, run.info.experiment_id, {PARENT: parent_id, KIND: "branch"})
    branches = sorted(
        (_read_branch(mlflow, child) for child in children), key=lambda item: dataclasses.astuple(item.branch)
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
        config=_read_json(mlflow, parent_id, CONFIG_FILE),
        data=_read_json(mlflow, parent_id, SUMMARY_FILE),
        decision=_read_json(mlflow, parent_id, DECISION_FILE),
        branches=tuple(sorted(branches, key=lambda item: dataclasses.astuple(item.branch))),
    )


def _read_branch(mlflow: MlflowClient, run: Run) -> BranchRecord:
    run_id = run.info.run_id
    keys = sorted(key for key in run.data.metrics if key.startswith("train/"))
    history = {key: [(m.step, m.value) for m in mlflow.get_metric_history(run_id, key)] for key in keys}
    return BranchRecord(
        run_id=run_id,
        branch=Branch.parse(run.data.tags[BRANCH]),
        status=run.info.status,
        tags=run.data.tags,
        info=_read_json(mlflow, run_id, BRANCH_FILE),
        evaluation=_read_json(mlflow, run_id, EVALUATION_FILE),
        history={key: sorted(points) for key, points in history.items()},
        grids=_read_grids(mlflow, run_id),
    )


def _artifacts(mlflow: MlflowClient, run_id: str, folder: str = "") -> set[str]:
    return {item.path for item in mlflow.list_artifacts(run_id, folder or None)}


def _read_json(mlflow: MlflowClient, run_id: str, name: str) -> dict[str, Any]:
    if name not in _artifacts(mlflow, run_id):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(Path(mlflow.download_artifacts(run_id, name, folder)).read_text())


def _read_grids(mlflow: MlflowClient, run_id: str) -> dict[int, bytes]:
    """PNG of each ``grids/epoch_0001.png`` by its epoch."""
    if GRIDS not in _artifacts(mlflow, run_id):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(Path(mlflow.download_artifacts(run_id, GRIDS, folder)).glob("epoch_*.png"))
        return {int(path.stem.removeprefix("epoch_")): path.read_bytes() for path in paths}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a person wants to know when a run has ended."""

    status: str
    """MLflow's status: FINISHED, FAILED or KILLED."""
    decision: dict[str, Any]
    """The selection's decision; empty where it was not reached."""
    lost: dict[str, str]
    """Branches that did not finish, with the reason."""
    report: Path | None
    """The report's page, or None where there is none."""


def outcome(experiment: str, run_key: str, folder: Path, tracking_uri: str = "") -> Outcome:
    """How the run of that key ended, its report copied to ``folder``. Raises LookupError where there is no such run."""
    parent_id = find_parent(experiment, run_key, tracking_uri)
    if parent_id is None:
        raise LookupError(f"run_key={run_key!r}: no run of that key in experiment {experiment!r}")
    mlflow, record = client(tracking_uri), read_run(parent_id, tracking_uri)
    page = None
    if REPORT in _artifacts(mlflow, parent_id):
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(mlflow.download_artifacts(parent_id, REPORT, scratch), folder, dirs_exist_ok=True)
        page = folder / REPORT_PAGE
    lost = {item.branch.name: item.reason for item in record.branches if item.status != "FINISHED"}
    return Outcome(record.status, record.decision, lost, page)
