"""What a trial reports while it works: spooled, batched, every point once; its end alone waits for the server."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from mammogan import errors, memory, results, user_folders
from mammogan.config import Config, Trial
from mammogan.graph import Step
from mammogan.ledger import Entry, State, Task
from mammogan.results import Evaluation, TrialResult, TrialStatus
from mammogan.tracking import heartbeat, ledger, system
from mammogan.tracking.runs import close, log_document, open_trial, set_tags
from mammogan.tracking.server import (
    DATA_DIGEST,
    EVALUATION_FILE,
    EXTRACTOR,
    FROZEN,
    NOT_THERE,
    TRACEBACK_FILE,
    TRIAL_FILE,
    client,
)
from mammogan.tracking.spool import Spool
from mammogan.tracking.tables import METRICS_FILE, log_table, measurements_table
from mammogan.training.trial_folder import GRIDS

logger = logging.getLogger(__name__)

Record = dict[str, Any]
"""A line of the spool's JSON; written and read in this module alone."""

RESULT_FILES: dict[Step, str] = {Step.TRAIN: TRIAL_FILE, Step.EVALUATE: EVALUATION_FILE}
SPOOL = "MAMMOGAN_SPOOL"
"""Variable that names the folder of the spools."""
LAST_WORDS_S = 600.0
"""How long the end of a step waits for a server that is away to take what is left."""
LEFT_OUT = ("metrics", "grid")
"""Kinds of records that may be missing from MLflow where it refuses them; of any other kind the step has failed."""


class UnrecordedError(RuntimeError):
    """MLflow has not taken what a step told at its end."""


METRICS_AT_ONCE = 1000  # MLflow's limit for one log_batch


def spool_folder() -> Path:
    """Where records wait for a silent server: ``$MAMMOGAN_SPOOL``, else ``mammogan/spool`` in the user's cache."""
    return user_folders.cache("spool", variable=SPOOL)


def trial_log(parent_id: str, trial: Trial, config: Config, step: Step, tracking_uri: str = "") -> TrialLog:
    """Log of the trial's child run for one step of the graph."""
    return TrialLog(_Sender(parent_id, trial, config, tracking_uri), Task(Step(step), trial.name))


class TrialLog:
    """What a trial reports while it trains or is evaluated; no call waits for the server or raises for it.

    Records go through a spool; its thread opens the child run and sends them, in order. A point that the run already
    holds (same key and step) is not sent again, so a resumed training may report epochs twice. As a context manager
    it records in the parent run that the step began and how it ended, ends the run FAILED, or KILLED for an
    interruption, when an exception passes through, and waits for the spool. Within it SIGTERM raises SystemExit, and
    MemoryError comes before the container's memory limit. Its end raises UnrecordedError where MLflow has not taken
    the records; they are kept, and so is what the trial made, so that the same step goes on. A run that a person
    deleted meanwhile is nobody's error: the parent run alone hears of the end.
    """

    def __init__(self, sender: _Sender, task: Task, patience_s: float = LAST_WORDS_S) -> None:
        self._sender, self._step, self._patience_s = sender, task.step, patience_s
        self._entry = ledger.begun(task)
        self._guards = contextlib.ExitStack()
        self._spool = Spool(spool_folder() / f"{sender.name}.jsonl", sender, "MLflow")

    @property
    def run_id(self) -> str:
        """Run id of the child run; asks the server for it where the spool has not yet."""
        return self._sender.run_id()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Report numbers of one step, for instance an epoch. Those that are not finite are left out."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if not_finite := sorted(set(values) - set(finite)):
            logger.info(f"step {step}: {', '.join(not_finite)} not finite, left out of MLflow")
        machine = system.sample() if self._step is Step.TRAIN else {}
        self._append({"kind": "metrics", "step": step, "values": {**finite, **machine}})

    def grid(self, step: int, path: Path) -> None:
        """Store a PNG as ``grids/<name>`` and as a step of the image series ``samples``."""
        self._append({"kind": "grid", "step": step, "path": str(path.resolve())})

    def tags(self, values: Mapping[str, str | None]) -> None:
        """Set tags; None and empty values are left out."""
        self._append({"kind": "tags", "tags": {name: value for name, value in values.items() if value}})

    def failure(self, error: BaseException) -> None:
        """Add the error's whole traceback to ``traceback.txt``, under a line with the time and the step."""
        heading = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f} UTC, {self._entry.task}"
        content = f"{heading}\n{errors.traceback_text(error)}\n"
        self._append({"kind": "addition", "name": TRACEBACK_FILE, "content": content})

    def finish(self, result: TrialResult | Evaluation) -> None:
        """Store the step's record, ``trial.json`` or ``evaluation.json``, and the trial's status.

        The child run ends with the evaluation; after a training that finished it stays RUNNING until then. A training
        that diverged has done its work: that is a result. One that failed has not, nor has an evaluation of its own
        fault.
        """
        text = results.document(result).decode()
        self._append({"kind": "text", "name": RESULT_FILES[self._step], "content": text})
        if isinstance(result, Evaluation):
            table = measurements_table([result]).document()
            self._append({"kind": "table", "name": METRICS_FILE, "content": table})
        self.tags(_result_tags(result))
        reason = result.reason or "no reason was recorded"
        if result.status is not TrialStatus.FINISHED:
            self._end("FAILED", f"{result.status}: {reason}")
        elif self._step is Step.EVALUATE:
            self._end("FINISHED")
        else:
            self.tags(heartbeat.sign_off())
        failed_in = (result.failed_in if isinstance(result, Evaluation) else None) or Step.TRAIN
        failed = result.status is TrialStatus.FAILED and failed_in is self._step
        self._record(ledger.ended(self._entry, State.FAILED if failed else State.DONE, reason if failed else ""))

    def close(self) -> bool:
        """Wait for what was not sent yet, at most ``patience_s``; returns whether all was."""
        return self._spool.close(self._patience_s)

    def _record(self, entry: Entry) -> None:
        self._entry = entry
        self._append({"kind": "entry", "entry": entry.to_json()})

    def _end(self, status: str, reason: str = "") -> None:
        self._append({"kind": "end", "status": status, "reason": reason})

    def _append(self, record: Record) -> None:
        self._spool.append(json.dumps({**record, "time_ms": time.time_ns() // 1_000_000}, separators=(",", ":")))

    def __enter__(self) -> Self:
        self._record(self._entry)
        self._guards.enter_context(ledger.sigterm_ends())
        self._guards.enter_context(memory.guarded())
        self._guards.enter_context(self._sender.beating())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._guards.close()
        if error is not None:
            state, reason = ledger.failure(error)
            if state is State.FAILED:
                self.failure(error)
            self._record(ledger.ended(self._entry, state, reason))
            self._end("KILLED" if state is State.STOPPED else "FAILED", f"{self._step}: {reason}")
        trouble = self._sender.refusal if self.close() else self._spool.trouble or TimeoutError("no answer")
        if trouble is not None:
            told = f"MLflow has not taken the record of {self._entry.task} ({errors.first_line(trouble)})"
            if error is None:
                raise UnrecordedError(f"{told}; run it again, it resumes from what is done") from trouble
            logger.warning(told, exc_info=trouble)


def _result_tags(result: TrialResult | Evaluation) -> dict[str, str | None]:
    """Tags that say what a trial rests on: data, device, frozen weights, feature extractor."""
    tags: dict[str, str | None] = {DATA_DIGEST: result.data_digest}
    if isinstance(result, TrialResult):
        return {**tags, FROZEN: result.frozen.name, "mammogan.device": result.device}
    networks = {EXTRACTOR: result.extractor, "mammogan.lpips": result.lpips}
    return {**tags, **{name: network.name if network else None for name, network in networks.items()}}


class _Sender:
    """Callable that puts spooled records into the child run, and returns how many: all metrics at the front, or one.

    The same records sent again change nothing.
    """

    def __init__(self, parent_id: str, trial: Trial, config: Config, tracking_uri: str) -> None:
        self.name = f"{parent_id}-{trial.name}"
        self._parent_id = parent_id
        self._tracking_uri = tracking_uri
        self._open = functools.partial(open_trial, parent_id, trial, config, tracking_uri)
        self._run_id = ""
        self.refusal: MlflowException | None = None
        """Why MLflow does not take a record that must not be missing."""
        self._beat_at_s = -math.inf
        self._steps: dict[str, set[int]] = {}
        """Steps that the run holds, for each metric key met so far."""

    def beating(self) -> contextlib.AbstractContextManager[None]:
        """Signs of life in the parent run, also while no record comes."""
        return ledger.beating(self._parent_id, self._tracking_uri)

    def run_id(self) -> str:
        self._run_id = self._run_id or self._open()
        return self._run_id

    def __call__(self, lines: Sequence[str]) -> int:
        records: list[Record] = [json.loads(line) for line in lines]
        try:
            mlflow, run_id = client(self._tracking_uri), self.run_id()
            if time.monotonic() - self._beat_at_s > heartbeat.EVERY_S:
                set_tags(run_id, heartbeat.sign_on(self._tracking_uri), self._tracking_uri)
                self._beat_at_s = time.monotonic()
        except MlflowException as error:
            if not self._deleted():
                raise
            logger.info(f"MLflow has no such run any more, {len(records)} records are left out of it", exc_info=error)
            return self._tell_parent(records)
        metrics = list(itertools.takewhile(lambda record: record["kind"] == "metrics", records))
        if metrics:
            self._send_metrics(mlflow, run_id, metrics)
            return len(metrics)
        self._send_other(mlflow, run_id, records[0])
        return 1

    def _deleted(self) -> bool:
        """Whether somebody has deleted the trial's run or its parent, which no waiting brings back."""
        mlflow = client(self._tracking_uri)
        for run_id in filter(None, (self._run_id, self._parent_id)):
            try:
                if mlflow.get_run(run_id).info.lifecycle_stage != "active":
                    return True
            except MlflowException as error:
                if error.error_code != NOT_THERE:
                    raise
                return True
        return False

    def _tell_parent(self, records: Sequence[Record]) -> int:
        """Send of the records what is the parent run's, where there is one; returns how many they are."""
        for record in records:
            if record["kind"] == "entry":
                _unless_refused(functools.partial(self._write_entry, record), "an entry")
        return len(records)

    def _write_entry(self, record: Record) -> None:
        ledger.write(self._parent_id, Entry.from_json(record["entry"]), self._tracking_uri)

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
            "entry": lambda: self._write_entry(record),
            "tags": lambda: set_tags(run_id, record["tags"], self._tracking_uri),
            "end": lambda: close(run_id, record["status"], record["reason"], self._tracking_uri),
            "text": lambda: log_document(mlflow, run_id, record["name"], record["content"]),
            "table": lambda: log_table(mlflow, run_id, record["name"], record["content"]),
            "addition": lambda: _append_text(mlflow, run_id, record["name"], record["content"]),
            "grid": lambda: _log_grid(mlflow, run_id, record),
        }
        action = actions.get(record["kind"])
        if action is None:
            logger.info(f"a record of kind {record['kind']}, which another version spooled, is left out of MLflow")
            return
        refusal = _unless_refused(action, f"a record of kind {record['kind']}")
        if refusal and record["kind"] not in LEFT_OUT and not self._deleted():
            self.refusal = refusal


def _points(records: Sequence[Record]) -> Iterator[Metric]:
    """Metrics of the records, each (key, step) once."""
    seen = set()
    for record in records:
        for key, value in record["values"].items():
            if (key, record["step"]) not in seen:
                seen.add((key, record["step"]))
                yield Metric(key, value, record["time_ms"], record["step"])


def _append_text(mlflow: MlflowClient, run_id: str, name: str, content: str) -> None:
    """Add a text to the end of an artifact, unless it is in it already."""
    before = ""
    if any(item.path == name for item in mlflow.list_artifacts(run_id)):
        with tempfile.TemporaryDirectory() as folder:
            before = Path(mlflow.download_artifacts(run_id, name, folder)).read_text()
    if content not in before:
        mlflow.log_text(run_id, before + content, name)


def _log_grid(mlflow: MlflowClient, run_id: str, record: Record) -> None:
    from mammogan.data import picture

    path, prefix = Path(record["path"]), f"images/samples+step+{record['step']}+"
    mlflow.log_artifact(run_id, str(path), GRIDS)
    if not any(item.path.startswith(prefix) for item in mlflow.list_artifacts(run_id, "images")):
        with picture.open_image(path.read_bytes()) as image:
            mlflow.log_image(
                run_id, image, key="samples", step=record["step"], timestamp=record["time_ms"], synchronous=True
            )


def _unless_refused(action: Callable[[], object], what: str) -> MlflowException | None:
    """Do it; drop what the server refuses for good, which is returned, or what is gone; raise what may work later."""
    try:
        action()
    except MlflowException as error:
        status = error.get_http_status_code()
        if not 400 <= status < 500 or status in (408, 429):
            raise
        logger.warning(f"MLflow refuses {what}, left out: {errors.first_line(error)}", exc_info=error)
        return error
    except FileNotFoundError as error:
        logger.info(f"{what} left out of MLflow: no file at {error.filename}")
    return None
