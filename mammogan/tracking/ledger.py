"""A run's record of its steps, kept as tags of the parent run: one tag a step and trial, replaced as it goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import signal
import threading
import time
from collections.abc import Generator
from types import FrameType

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mammogan import cluster, errors, memory
from mammogan.graph import Step
from mammogan.ledger import Entry, Ledger, State, Task
from mammogan.tracking import heartbeat
from mammogan.tracking.runs import reopen, set_tags
from mammogan.tracking.server import TRACEBACKS, client

logger = logging.getLogger(__name__)

PREFIX = "mammogan.step."
STOPPED = "told to stop (SIGTERM): the run was terminated, or its node drained"
INTERRUPTED = "interrupted"


def tag(task: Task) -> str:
    """Name of a step's tag; MLflow allows neither '=' nor ',' nor '+' in it."""
    trial = re.sub(r"[^\w.\-]", "_", task.trial.replace("+", ""))
    return f"{PREFIX}{task.step}{'.' if trial else ''}{trial}"


def read(run: Run) -> Ledger:
    """The record that a run's tags hold. Raises UnknownEntryError for a tag that is none of ours."""
    entries = (Entry.from_json(value) for name, value in run.data.tags.items() if name.startswith(PREFIX))
    return Ledger({entry.task: entry for entry in entries})


def read_ledger(run_id: str, tracking_uri: str = "") -> Ledger:
    """The record of the parent run of that id."""
    return read(client(tracking_uri).get_run(run_id))


def write(run_id: str, entry: Entry, tracking_uri: str = "") -> None:
    """Put an entry in place of what its step wrote before."""
    set_tags(run_id, {tag(entry.task): entry.to_json()}, tracking_uri)


def begun(task: Task) -> Entry:
    """Entry of a step that begins now, in this process."""
    return Entry(task, State.RUNNING, _now_ms(), pod=cluster.this_pod(), memory_limit=memory.limit() or 0)


def ended(entry: Entry, state: State, reason: str = "", goes_on: bool | None = None) -> Entry:
    """The entry of a step that ends now."""
    return dataclasses.replace(entry, state=state, ended_ms=_now_ms(), reason=reason, goes_on=goes_on)


def failure(error: BaseException) -> tuple[State, str]:
    """State and reason of a step through which ``error`` passes."""
    if isinstance(error, KeyboardInterrupt):
        return State.STOPPED, INTERRUPTED
    if isinstance(error, SystemExit):
        return State.STOPPED, STOPPED
    return State.FAILED, errors.reason(error)


class Progress:
    """What a step may add to its entry while it works."""

    goes_on: bool | None = None
    failure: Exception | None = None
    """What the step's work failed by where the graph goes on without it: the run has failed, its other steps not."""


@contextlib.contextmanager
def step(run_id: str, name: Step, tracking_uri: str = "", *, sees_names: bool = False) -> Generator[Progress]:
    """Record that a step began, and how the block ended: done, failed with its one-line reason, or stopped.

    Meanwhile it gives a sign of life every minute, SIGTERM ends the block by SystemExit, and it ends by MemoryError
    before the container's memory limit would end it without a word. The traceback of a failure becomes an artifact.
    Of a step that sees the patients' own names MLflow gets our own words alone (``errors.anonymous_reason``).
    """
    logger.debug(f"step {name} of MLflow's run {run_id} begins")
    reopen(run_id, tracking_uri, anew=name is not Step.FINISH)
    entry, progress = begun(Task(Step(name))), Progress()
    write(run_id, entry, tracking_uri)
    try:
        with sigterm_ends(), memory.guarded(), beating(run_id, tracking_uri):
            yield progress
    except BaseException as error:
        _record_failure(run_id, entry, error, tracking_uri, sees_names=sees_names)
        raise
    if progress.failure is not None:
        _record_failure(run_id, entry, progress.failure, tracking_uri, sees_names=sees_names)
        return
    write(run_id, ended(entry, State.DONE, goes_on=progress.goes_on), tracking_uri)
    logger.debug(f"step {name} is done")


def _record_failure(run_id: str, entry: Entry, error: BaseException, tracking_uri: str, *, sees_names: bool) -> None:
    """Write how the step ended and why; whatever fails here, the error that is on its way matters more."""
    state, reason = failure(error)
    trace = errors.traceback_text
    if sees_names and state is State.FAILED:
        reason, trace = errors.anonymous_reason(error), errors.anonymous_traceback
    try:
        write(run_id, ended(entry, state, reason), tracking_uri)
        if state is State.FAILED:
            _keep_traceback(run_id, entry.task, trace(error), tracking_uri)
    except MlflowException as refusal:
        logger.warning(f"MLflow does not hear how {entry.task} ended: {errors.first_line(refusal)}", exc_info=refusal)


def _keep_traceback(run_id: str, task: Task, text: str, tracking_uri: str) -> None:
    name = f"{TRACEBACKS}/{task.step}.txt"
    try:
        client(tracking_uri).log_text(run_id, text, name)
    except Exception as refusal:  # of the store of the artifacts, which is another server with errors of its own
        logger.debug(f"{name} is not kept in MLflow: {refusal}")


@contextlib.contextmanager
def sigterm_ends() -> Generator[None]:
    """Turn SIGTERM into SystemExit, which unwinds; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def beating(run_id: str, tracking_uri: str) -> contextlib.AbstractContextManager[None]:
    """A sign of life in the run every minute."""
    return heartbeat.beating(
        lambda: set_tags(run_id, heartbeat.beat(tracking_uri), tracking_uri), 2 * heartbeat.EVERY_S
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
