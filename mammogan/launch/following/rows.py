"""The project's own steps of a run as rows of a table, from its record in MLflow or from Kubeflow's list of tasks.

Kubeflow lists each task up to three times: NAME, NAME(0) for each attempt where retries wrap it, and without name and
state what a step left in its cache. It lists its drivers, executors, loops and conditions too, and a step as running
whose pod waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mammogan.graph import PER_TRIAL, Step
from mammogan.ledger import Entry, State, Task

if TYPE_CHECKING:
    import kfp_server_api

    from mammogan.tracking.standing import Standing

STATES = {
    "RUNNING": State.RUNNING,
    "SUCCEEDED": State.DONE,
    "FAILED": State.FAILED,
    "CANCELED": State.STOPPED,
    "CANCELING": State.STOPPED,
}
"""Kubeflow's words; PENDING waits, and a task without any was left out."""
_ORDER = {step: number for number, step in enumerate(Step)}


@dataclass(frozen=True)
class Row:
    """One step, in the fan-out of one trial."""

    task: Task
    """Its trial is a number where it cannot be told which one it is."""
    state: State | None
    """None while it waits."""
    seconds: float | None = None
    """How long it took, or has taken so far; None while it waits."""
    note: str = ""
    """How far it is, or why it failed."""


def from_record(standing: Standing, trials: Sequence[str]) -> list[Row]:
    """Every step that the run has begun or has to do, by the record of its steps."""
    ledger = standing.ledger
    tasks = {*ledger.due(trials), *ledger.entries}
    known = [*trials, *sorted({task.trial for task in tasks} - {*trials, ""})]
    ordered = sorted(tasks, key=lambda task: _place(task, known.index(task.trial) if task.trial else 0))
    return [_recorded(task, ledger.entries.get(task), standing) for task in ordered]


def from_kubeflow(run: kfp_server_api.V2beta1Run, now: datetime | None = None) -> list[Row]:
    """The steps that Kubeflow shows; those of the fan-out are numbered by their start."""
    rows: list[Row] = []
    for step in Step:
        tasks = sorted(_tasks(run, step), key=lambda task: task.start_time)
        for number, task in enumerate(tasks, 1):
            trial = str(number) if step in PER_TRIAL else ""
            state = STATES.get(task.state)
            rows.append(Row(Task(step, trial), state, _seconds(task, now or datetime.now(UTC)) if state else None))
    return sorted(rows, key=lambda row: _place(row.task, int(row.task.trial or 0)))


def has_ended(task: kfp_server_api.V2beta1PipelineTaskDetail) -> bool:
    """Kubeflow gives a task that has not ended an end in year 1."""
    return bool(task.end_time and task.start_time and task.end_time >= task.start_time)


def waits(run: kfp_server_api.V2beta1Run) -> bool:
    """Whether a pod of the run is pending and none runs, by the tasks that lead to no further one: these are pods."""
    details = (run.run_details.task_details if run.run_details else None) or ()
    states = {task.state for task in details if task.display_name and not task.child_tasks and not has_ended(task)}
    return "PENDING" in states and "RUNNING" not in states


def _place(task: Task, trial: int) -> tuple[int, int, int]:
    """Place in the graph; a trial's steps stand together."""
    return (_ORDER[PER_TRIAL[0] if task.step in PER_TRIAL else task.step], trial, _ORDER[task.step])


def _recorded(task: Task, entry: Entry | None, standing: Standing) -> Row:
    if entry is None:
        return Row(task, None)
    ended_ms = time.time() * 1000 if entry.ended_ms is None else entry.ended_ms
    note = entry.reason
    if task.step is Step.TRAIN and entry.state is State.RUNNING and (losses := standing.losses.get(task.trial)):
        of = f" of {standing.epochs}" if standing.epochs else ""
        note = f"epoch {losses.epoch}{of}, W {losses.wasserstein:.3g}, generator {losses.generator_loss:.3g}"
    return Row(task, entry.state, max(0.0, (ended_ms - entry.began_ms) / 1000), note)


def _tasks(run: kfp_server_api.V2beta1Run, step: Step) -> Iterator[kfp_server_api.V2beta1PipelineTaskDetail]:
    """Tasks of one step, each once: those of its plain name, else the first attempts."""
    details = (run.run_details.task_details if run.run_details else None) or ()
    shown = [task for task in details if task.state and task.start_time]
    plain = [task for task in shown if task.display_name == step]
    yield from plain or (task for task in shown if task.display_name == f"{step}(0)")


def _seconds(task: kfp_server_api.V2beta1PipelineTaskDetail, now: datetime) -> float:
    return max(0.0, ((task.end_time if has_ended(task) else now) - task.start_time).total_seconds())
