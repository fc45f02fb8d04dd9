"""The record of a pipeline run: which steps began and how each ended, and what that makes of the whole run.

Kubeflow's own word on a finished run is COMPLETE, RUNNING or FAILED and never says why, so it decides nothing here.
Each step writes an entry into the run's record in MLflow when it begins and when it ends; whoever asks later reads it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mammogan import codec
from mammogan.graph import AFTER_A_WINNER, BEFORE_TRAINING, PER_TRIAL, Step

REASON_LENGTH = 1000
"""Characters of a reason in its record, which as JSON must fit into a tag."""


class State(StrEnum):
    """How far a step came."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """It was told to end, as by a terminated run or a drained node, and did so before its work was done."""


class Status(StrEnum):
    """How a run ended, in MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, order=True)
class Task:
    """One step of one run; of a step that stands in the fan-out that of one trial."""

    step: Step
    trial: str = ""
    """Name of the trial, such as ``lambda=3,seed=0``; empty outside the fan-out."""

    def __str__(self) -> str:
        """As a person reads it: ``train of lambda=3,seed=0``."""
        return f"{self.step} of {self.trial}" if self.trial else str(self.step)


class UnknownEntryError(ValueError):
    """A run's record has an entry that is none of ours, as another version of this package may write it."""


@dataclass(frozen=True)
class Entry:
    """What a step last wrote about itself."""

    task: Task
    state: State
    began_ms: int
    """Begin of the latest attempt, milliseconds since 1970."""
    ended_ms: int | None = None
    """Its end, or None while it runs."""
    reason: str = ""
    """Why it failed or stopped, one line."""
    goes_on: bool | None = None
    """Of filter-minority whether there is something to train, of select whether there is a winner; else None."""
    pod: str = ""
    """Pod of the latest attempt; empty on a machine of one's own."""
    memory_limit: int = 0
    """Bytes that the pod may use; 0 where there is no limit."""

    def to_json(self) -> str:
        """The entry as one line of JSON, which a tag can hold."""
        content = dataclasses.asdict(self)
        reason = self.reason[:REASON_LENGTH].encode(errors="replace").decode()
        content |= {"task": [self.task.step, self.task.trial], "reason": reason}
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Entry:
        """Inverse of ``to_json``. Raises UnknownEntryError for any other text."""
        try:
            content = json.loads(text)
            step, trial = content["task"]
            return codec.decode(cls, content | {"task": {"step": step, "trial": trial}}, "entry")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UnknownEntryError(f"entry={text[:200]!r}: it is no record of a step ({error})") from error


@dataclass(frozen=True)
class Fate:
    """What the cluster tells of a run beside what its steps wrote themselves."""

    terminated: bool | None = None
    """Whether someone ended the run before its time; None where nobody could be asked."""
    causes: Mapping[Task, str] = field(default_factory=dict)
    """Why the pod of a step was lost."""
    not_begun: str = ""
    """Why the next step could not begin, such as a driver's failure or an image that nobody has."""


@dataclass(frozen=True)
class Ending:
    """Status of a run that is over, and the reason in one line; none for one that finished."""

    status: Status
    reason: str = ""
    failed_trials: Mapping[str, str] = field(default_factory=dict)
    """Trials that failed because their pods were lost, with the cause."""


@dataclass(frozen=True)
class Ledger:
    """Every entry of one run."""

    entries: Mapping[Task, Entry]

    def state(self, task: Task) -> State | None:
        """How far a step came; None for one that never began."""
        entry = self.entries.get(task)
        return entry.state if entry else None

    def due(self, trials: Sequence[str]) -> list[Task]:
        """Every step that the run has to do, as far as is known by now, in order; ``finish`` is not among them."""
        tasks = [Task(step) for step in BEFORE_TRAINING]
        if self._goes_on(Step.FILTER_MINORITY) is False:
            return tasks
        tasks += [Task(step, trial) for trial in trials for step in PER_TRIAL]
        tasks.append(Task(Step.SELECT))
        if self._goes_on(Step.SELECT):
            tasks += [Task(step) for step in AFTER_A_WINNER]
        return tasks

    def _goes_on(self, step: Step) -> bool | None:
        entry = self.entries.get(Task(step))
        return entry.goes_on if entry and entry.state is State.DONE else None

    def running(self) -> list[Entry]:
        """Entries of steps that have begun and not ended."""
        return [entry for entry in self.entries.values() if entry.state is State.RUNNING]


def ending(ledger: Ledger, trials: Sequence[str], fate: Fate) -> Ending:
    """What a run came to that is over: FINISHED where every step that was due did its work, whatever its verdict.

    KILLED where it was terminated, or where a step was told to stop and nobody knows of more; else FAILED, with the
    steps that failed, those whose pods were lost, or the first one that never began.
    """
    due = ledger.due(trials)
    stopped = [task for task in due if ledger.state(task) in (State.STOPPED, State.RUNNING)]
    missing = [task for task in due if ledger.state(task) is None]
    failed = [f"{task}: {ledger.entries[task].reason}" for task in due if ledger.state(task) is State.FAILED]
    if fate.terminated and (stopped or (missing and not failed)):
        return Ending(Status.KILLED, _terminated(ledger, due))
    if fate.terminated is None and not failed and not fate.causes:
        asked_to_stop = [ledger.entries[task] for task in due if ledger.state(task) is State.STOPPED]
        if asked_to_stop:
            return Ending(Status.KILLED, f"{asked_to_stop[0].task}: {asked_to_stop[0].reason}")
    lost = {task: _lost(ledger.entries[task], fate) for task in stopped}
    if failed or lost:
        reasons = [*failed, *(f"{task}: {cause}" for task, cause in lost.items())]
        return Ending(
            Status.FAILED, "; ".join(reasons), {task.trial: cause for task, cause in lost.items() if task.trial}
        )
    if missing:
        return Ending(Status.FAILED, f"{missing[0]} never began{f': {fate.not_begun}' if fate.not_begun else ''}")
    return Ending(Status.FINISHED)


def _terminated(ledger: Ledger, due: Sequence[Task]) -> str:
    """Where a run was when it was terminated."""
    at = [str(task) for task in due if ledger.state(task) in (State.STOPPED, State.RUNNING)]
    if at:
        return f"terminated in {', '.join(at)}"
    missing = next(task for task in due if ledger.state(task) is None)
    before = [task for task in due[: due.index(missing)] if ledger.state(task) is not None]
    return f"terminated after {before[-1]}, before {missing}" if before else f"terminated before {missing}"


def _lost(entry: Entry, fate: Fate) -> str:
    """Why a step neither ended nor goes on."""
    cause = fate.causes.get(entry.task) or entry.reason
    if not cause:
        limit = f"; its memory limit was {entry.memory_limit / 2**30:.2f} GiB" if entry.memory_limit else ""
        cause = f"its process ended without a word{limit}"
    return f"lost with its pod {entry.pod}: {cause}" if entry.pod else cause
