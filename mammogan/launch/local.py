"""Run the graph on this machine: the same steps as on a cluster, each a subprocess, MLflow on SQLite."""

from __future__ import annotations

import builtins
import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mammogan import codec, config, console, lock, storage, tether
from mammogan.addresses import DATABASE
from mammogan.document import Document
from mammogan.errors import LoggedError
from mammogan.launch import readiness
from mammogan.launch.arguments import GraphArguments
from mammogan.launch.outcome import outcome_lines
from mammogan.launch.stopping import stoppable
from mammogan.launch.store import ARTIFACTS

if TYPE_CHECKING:
    from mammogan.tracking import Outcome
    from mammogan.tracking.relocation import Relocation

logger = logging.getLogger(__name__)

MARK = "» "
REASON_MARK = "✗ "
"""What the steps put before the reason by which they end."""
STATUS = "status.json"
"""File in a run's folder that says how far it came."""
STEPS_LOCK = ".steps"
"""File that the steps of a run hold."""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TASK = re.compile(r"(Executing task|Task) '(?P<task>[\w-]+)'(?: finished with status (?P<status>\w+))?$")
_ERROR = re.compile(r"^(?:[^\W\d]\w*\.)*\w+(?:Error|Exception|Interrupt|Exit)(?::|$)")
"""Last line of a traceback, of a step that ended before it could mark its reason."""
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
        storage.write_bytes(str(self.folder / STATUS), json.dumps({"status": status}).encode())


def find_or_make(out: Path, arguments: GraphArguments) -> LocalRun:
    """Folder of an unfinished run with the same arguments, or a new one.

    The folder's name is a digest of the arguments, with the preset resolved, and a counter: running the same command
    again resumes after an interruption and starts anew after success.
    Raises OSError where nothing can be written there.
    """
    stem = config.digest({**arguments.parameters(), "configuration": codec.encode(arguments.configuration)})[:8]
    number = 1
    while (status := out / f"run-{stem}-{number}" / STATUS).is_file():
        if _status(status) != "finished":
            break
        number += 1
    folder = out / f"run-{stem}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    return LocalRun(folder, _key(folder, f"{stem}-{number}"))


def _key(folder: Path, name: str) -> str:
    """Key of the run in that folder, its own among all that ever ran the same command: one MLflow may hold several.

    A run of an earlier version, which has no file with it, goes on under its name.
    """
    file = folder / "run_key.txt"
    if file.is_file():
        return file.read_text()
    key = name if (folder / STATUS).is_file() else f"{name}-{uuid.uuid4().hex[:8]}"
    storage.write_bytes(str(file), key.encode())
    return key


def _status(path: Path) -> str:
    """How far a run came. Raises ValueError, which names the file, where that is broken."""
    return Document(codec.parsed(path.read_bytes(), str(path))).text("status")


@contextlib.contextmanager
def exclusive(out: Path) -> Generator[None]:
    """Hold ``out`` for one run at a time, once the steps of a run that was killed have ended.

    Raises RuntimeError where another run, or such a step, holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(out / lock.NAME, f"--out={out}: another run is using it; wait for it or give another folder"):
        if not tether.wait_until_free(out / STEPS_LOCK):
            raise RuntimeError(f"--out={out}: steps of a run that was killed are still at work; end them and run again")
        yield


def relocate(out: Path, experiment: str = "") -> list[Relocation]:
    """Make the artifacts of a folder of runs be found where it is now; what was done.

    Raises ValueError where it is no such folder, and as ``relocation.follow`` does; RuntimeError while a run uses it.
    """
    if not (out / DATABASE).is_file():
        raise ValueError(f"--out={str(out)!r}: there is no {DATABASE} in it; give a folder of runs")
    with exclusive(out.resolve()):
        return follow(out.resolve(), experiment)


def follow(out: Path, experiment: str = "") -> list[Relocation]:
    """As ``relocate``, of a folder that this process holds; nothing where it has no database."""
    from mammogan import tracking

    moved = tracking.follow(out / DATABASE, out / ARTIFACTS, experiment)
    for item in moved:
        logger.info(f"the artifacts of {item.before} are in {item.after} now; {item.addresses} addresses follow")
    return moved


def run(pipeline: Callable[..., object], arguments: GraphArguments, out: Path, tracking_uri: str = "") -> LocalRun:
    """Run the graph to its end and print what came out of it; go on where an earlier attempt stopped.

    State lives below ``out``: a folder per run, ``store/`` (trials by content), ``data/`` (finished images),
    ``mlflow.db``, ``artifacts/`` and ``spool/``; where ``out`` was moved, the addresses in ``mlflow.db`` follow.
    Raises ValueError for inputs that are missing and RuntimeError with the failed step's own error line.
    """
    from mammogan import tracking

    readiness.require(arguments)
    out = out.resolve()
    own = not tracking_uri or tracking.file_of(tracking_uri) == out / DATABASE
    artifacts = (out / ARTIFACTS).as_uri() if own else ""
    tracking_uri = tracking_uri or tracking.address_of(out / DATABASE)
    with exclusive(out):
        if own:
            follow(out, arguments.experiment)
        local_run = find_or_make(out, arguments)
        logger.info(f"run {local_run.key}; every line of every step goes to {local_run.log}")
        tracking.ensure_experiment(arguments.experiment, artifacts, tracking_uri)
        placed = replace(arguments, store=str(out / "store"), work=str(out / "data"))
        try:
            with environment(step_environment(tracking_uri, local_run.key, out)), stoppable():
                execute(pipeline, placed, local_run)
        except KeyboardInterrupt:
            tracking.close_stopped(local_run.key, "stopped by a signal", tracking_uri)
            raise
        except BaseException:
            with contextlib.suppress(Exception):  # what is on its way matters more
                _outcome(arguments, local_run, tracking_uri)
            raise
        ended = _outcome(arguments, local_run, tracking_uri)
        if ended and ended.status != "FINISHED":
            local_run.mark("failed")
            raise LoggedError(f"the run ended {ended.status}: {ended.reason}; the whole log is {local_run.log}")
        local_run.mark("finished")
    return local_run


def _outcome(arguments: GraphArguments, run: LocalRun, tracking_uri: str) -> Outcome | None:
    """What MLflow knows of the run, which is also printed; None where it never got that far."""
    from mammogan import tracking

    try:
        ended = tracking.outcome(run.key, run.report, tracking_uri)
    except LookupError:
        return None
    model = arguments.configuration.select.model_name
    print("", *outcome_lines(ended, model=model, tracking_uri=tracking_uri, key=run.key), sep="\n")
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


def step_environment(tracking_uri: str, key: str, out: Path) -> dict[str, str]:
    """Environment of the steps: where MLflow is, the run's key, our lines' marks, a fair share of the cores.

    Their spool is below ``out``, so that a run needs no home folder, and they end with this process.
    """
    from mammogan.tracking.runs import LOCAL_KEY
    from mammogan.tracking.trial_log import SPOOL

    threads = max(1, (os.cpu_count() or 1) // MAX_PARALLEL_STEPS)
    return {
        "MLFLOW_TRACKING_URI": tracking_uri,
        LOCAL_KEY: key,
        SPOOL: os.environ.get(SPOOL) or str(out / "spool"),
        **tether.variables(out / STEPS_LOCK),
        console.MARK: MARK,
        console.REASON_MARK: REASON_MARK,
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
        self._reason = ""
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
        elif line.startswith(REASON_MARK):
            self._reason = line.removeprefix(REASON_MARK)
        elif _ERROR.match(line):
            self._last_error = line
        elif task := _TASK.search(line):
            status = task["status"]
            if status is None:
                self._print(f"-> {task['task']}")
            elif status == "SUCCESS":
                self._reason = self._last_error = ""  # of a trial that failed, which its step survived
            else:
                self.failure = self.failure or f"step {task['task']}: {self._reason or self._last_error or status}"

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
