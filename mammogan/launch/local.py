"""Run the graph on this machine: the same steps as on a cluster, each a subprocess, MLflow on SQLite."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mammogan import codec, config, console, storage
from mammogan.errors import LoggedError
from mammogan.launch.arguments import GraphArguments, is_path
from mammogan.launch.outcome import outcome_lines
from mammogan.launch.stopping import stoppable

if TYPE_CHECKING:
    from mammogan.tracking import Outcome

logger = logging.getLogger(__name__)

MARK = "» "
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TASK = re.compile(r"(Executing task|Task) '(?P<task>[\w-]+)'(?: finished with status (?P<status>\w+))?$")
_ERROR = re.compile(r"^\w+(?:Error|Exception|Interrupt)\b.*")
MAX_PARALLEL_STEPS = 2
"""Trials that KFP's local runner works on at once."""


@dataclass(frozen=True)
class LocalRun:
    """A folder under ``--out`` that holds one run of the graph, also across interruptions."""

    folder: Path
    key: str

    @property
    def log(self) -> Path:
        """Everything that the steps and KFP printed."""
        return self.folder / "log.txt"

    @property
    def report(self) -> Path:
        """Folder of the report's page and figures."""
        return self.folder / "report"

    def mark(self, status: str) -> None:
        """Remember how far the run came."""
        storage.write_bytes(str(self.folder / "status.json"), json.dumps({"status": status}).encode())


def find_or_make(out: Path, arguments: GraphArguments) -> LocalRun:
    """Folder of an unfinished run with the same arguments, or a new one.

    The folder's name is a digest of the arguments, with the preset resolved, and a counter: running the same command
    again resumes after an interruption and starts anew after success.
    """
    stem = config.digest({**arguments.parameters(), "settings": codec.encode(arguments.settings)})[:8]
    number = 1
    while (status := out / f"run-{stem}-{number}" / "status.json").is_file():
        if json.loads(status.read_text())["status"] != "finished":
            break
        number += 1
    run = LocalRun(out / f"run-{stem}-{number}", f"{stem}-{number}")
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


@contextlib.contextmanager
def exclusive(out: Path) -> Generator[None]:
    """Hold ``out`` for one run at a time. Raises RuntimeError where another one holds it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"--out={out}: another run is using it; wait for it or give another folder") from error
        yield


def require_inputs(arguments: GraphArguments) -> None:
    """Raise ValueError for data or weights that are not on this machine, before any step has begun."""
    settings = arguments.settings
    given = {
        "--source": arguments.source,
        "--labels": arguments.labels,
        "model.frozen_weights": settings.model.frozen_weights,
        "evaluate.extractor_weights": settings.evaluate.extractor_weights,
        "evaluate.lpips_weights": settings.evaluate.lpips_weights,
    }
    for name, location in given.items():
        if is_path(location) and location != "random" and not Path(location).exists():
            raise ValueError(f"{name}={location!r}: no such file or folder; give the path of one")


def run(pipeline: Callable[..., object], arguments: GraphArguments, out: Path, tracking_uri: str = "") -> LocalRun:
    """Run the graph to its end and print what came out of it; go on where an earlier attempt stopped.

    State lives below ``out``: a folder per run, ``store/`` (trials by content), ``data/`` (finished images),
    ``mlflow.db`` and ``artifacts/``. Raises ValueError for inputs that are missing and
    RuntimeError with the failed step's own error line.
    """
    from mammogan import tracking

    require_inputs(arguments)
    out = out.resolve()
    artifacts = "" if tracking_uri else str(out / "artifacts")
    tracking_uri = tracking_uri or f"sqlite:///{out / 'mlflow.db'}"
    with exclusive(out):
        found = find_or_make(out, arguments)
        logger.info(f"run {found.key}; every line of every step goes to {found.log}")
        tracking.ensure_experiment(arguments.experiment, artifacts, tracking_uri)
        placed = replace(arguments, store=str(out / "store"), work=str(out / "data"))
        try:
            with environment(step_environment(tracking_uri, found.key)), stoppable():
                execute(pipeline, placed, found)
        except KeyboardInterrupt:
            tracking.close_stopped(found.key, "stopped by a signal", tracking_uri)
            logger.info("stopped; the same command resumes")
            raise
        finally:
            ended = _outcome(arguments, found, tracking_uri)
        if ended and ended.status != "FINISHED":
            found.mark("failed")
            raise LoggedError(f"the run ended {ended.status}: {ended.reason}; the whole log is {found.log}")
    return found


def _outcome(arguments: GraphArguments, run: LocalRun, tracking_uri: str) -> Outcome | None:
    """What MLflow knows of the run, which is also printed; None where it never got that far."""
    from mammogan import tracking

    try:
        ended = tracking.outcome(run.key, run.report, tracking_uri)
    except LookupError:
        return None
    model = arguments.settings.select.model_name
    print("", *outcome_lines(ended, model=model, tracking_uri=tracking_uri), sep="\n")
    return ended


def execute(pipeline: Callable[..., object], arguments: GraphArguments, run: LocalRun) -> None:
    """Run a KFP pipeline function in subprocesses, its chatter to the run's log and our lines to the terminal.

    Raises RuntimeError with the failed step's own error line.
    """
    from kfp import local

    shutil.rmtree(run.folder / "steps", ignore_errors=True)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(run.folder / "steps"), raise_on_error=True)
    run.mark("running")
    with run.log.open("a") as log, _captured(StepLog(log, sys.stderr)) as steps:
        try:
            pipeline(**arguments.parameters())
        except RuntimeError as error:
            run.mark("failed")
            raise LoggedError(f"{steps.failure or error}; the whole log is {run.log}") from error
    run.mark("finished")


def step_environment(tracking_uri: str, key: str) -> dict[str, str]:
    """Environment of the steps: where MLflow is, the run's key, our lines' mark, a fair share of the cores."""
    from mammogan.tracking.runs import LOCAL_KEY

    threads = max(1, (os.cpu_count() or 1) // MAX_PARALLEL_STEPS)
    return {
        "MLFLOW_TRACKING_URI": tracking_uri,
        LOCAL_KEY: key,
        "MAMMOGAN_SAY_PREFIX": MARK,
        console.VERBOSITY: console.verbosity(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Generator[None]:
    """Set environment variables for the block, for subprocesses that KFP starts with this process's own."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class StepLog(io.TextIOBase):
    """Text stream that keeps every line in a log and shows a person the ones that matter."""

    def __init__(self, log: TextIO, screen: TextIO) -> None:
        self._log = log
        self._screen = screen
        self._rest = ""
        self._last_error = ""
        self.failure = ""

    def write(self, text: str) -> int:
        """Take any piece of text; lines are told apart here."""
        self._log.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._show(_ANSI.sub("", line).strip())
        return len(text)

    def flush(self) -> None:
        """Pass the log on to disk."""
        self._log.flush()

    def _show(self, line: str) -> None:
        if line.startswith(MARK):
            self._print("  " + line.removeprefix(MARK))
        elif _ERROR.match(line):
            self._last_error = line
        elif task := _TASK.search(line):
            status = task["status"]
            if status is None:
                self._print(f"-> {task['task']}")
            elif status == "SUCCESS":
                self._last_error = ""  # of a trial that failed, which its step survived
            else:
                self.failure = self.failure or f"step {task['task']}: {self._last_error or status}"

    def _print(self, line: str) -> None:
        self._screen.write(line + "\n")
        self._screen.flush()


@contextlib.contextmanager
def _captured(steps: StepLog) -> Generator[StepLog]:
    """Send standard output to ``steps``, and undo what KFP's parallel loop may leave patched."""
    original_print = builtins.print
    with contextlib.redirect_stdout(steps):  # type: ignore[type-var]
        try:
            yield steps
        finally:
            builtins.print = original_print
