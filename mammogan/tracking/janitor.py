"""Runs that say RUNNING although nothing works on them any more: a killed process cannot end its own run.

A run on a cluster is dead when its workflow is over or gone, which a janitor in the same namespace may ask. Every step
gives its run a sign of life each minute, and a trial's log signs its child run with its machine and process: a run is
dead too when that process is on this machine and gone, or when the last sign of the run and of its trials is older
than the patience, which must be longer than a step may wait for its pod. Signs and now are both told by the clock of
MLflow's server: the janitor's own, or a node's, may be hours wrong.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from mlflow import MlflowClient
from mlflow.entities import Run

from mammogan import cluster
from mammogan.ledger import UnknownEntryError
from mammogan.tracking import clock
from mammogan.tracking.ending import end_if_over
from mammogan.tracking.heartbeat import HEARTBEAT, PROCESS, process_is_gone
from mammogan.tracking.runs import close
from mammogan.tracking.server import CLUSTER, KIND, PARENT, WORKFLOW, client, experiments, find_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dead:
    """A run that nothing works on."""

    run_id: str
    """Its run id."""
    name: str
    """Its name."""
    why: str
    """What gave it away."""
    trial: bool = False
    """Whether it is a trial's run, not that of a whole pipeline run."""


def dead_runs(experiment: str, patience_s: float, tracking_uri: str = "") -> list[Dead]:
    """Runs of an experiment, of all where it is empty, that are RUNNING and dead, trials before their parents.

    ``patience_s`` is the longest silence of a living run, in seconds; give more than the longest step takes, since
    ingest reports nothing while it works. Raises ValueError for an experiment that is not there.
    """
    mlflow = client(tracking_uri)
    looked_at = experiments(mlflow, experiment)
    now_ms = clock.now_ms(tracking_uri)
    runs = _running(mlflow, looked_at)
    trials = [run for run in runs if run.data.tags[KIND] == "trial"]
    dead = [replace(verdict, trial=True) for run in trials if (verdict := _judge(run, [run], patience_s, now_ms))]
    dead_ids = {item.run_id for item in dead}
    for parent in (run for run in runs if run.data.tags[KIND] == "pipeline"):
        children = find_runs(mlflow, looked_at, {PARENT: parent.info.run_id})
        alive = [run for run in children if run.info.status == "RUNNING" and run.info.run_id not in dead_ids]
        presence = cluster.state_of(parent.data.tags.get(WORKFLOW, ""), parent.data.tags.get(CLUSTER, ""))
        if presence in (cluster.Presence.OVER, cluster.Presence.GONE):
            dead.append(
                Dead(parent.info.run_id, parent.info.run_name or parent.info.run_id, f"its workflow is {presence}")
            )
        elif presence is cluster.Presence.RUNS:
            continue
        elif not alive and (verdict := _judge(parent, [parent, *children], patience_s, now_ms)):
            dead.append(verdict)
    return dead


def sweep(experiment: str, patience_s: float, tracking_uri: str = "") -> list[Dead]:
    """End the dead runs of an experiment, of all where it is empty, saying why; returns them.

    One whose workflow is over ends as its record says, any other one as KILLED.
    """
    dead = dead_runs(experiment, patience_s, tracking_uri)
    for item in dead:
        if item.trial or not _ended_by_record(item.run_id, tracking_uri):
            close(item.run_id, "KILLED", f"janitor: {item.why}", tracking_uri)
    return dead


def _ended_by_record(run_id: str, tracking_uri: str) -> bool:
    """Whether the run's own record has ended it; one that this version cannot read has not."""
    try:
        return end_if_over(run_id, tracking_uri) is not None
    except UnknownEntryError as error:
        logger.info(f"{run_id}: {error}")
        return False


def _running(mlflow: MlflowClient, looked_at: list[str]) -> list[Run]:
    kinds = [find_runs(mlflow, looked_at, {KIND: kind}) for kind in ("trial", "pipeline")]
    return [run for runs in kinds for run in runs if run.info.status == "RUNNING"]


def _judge(run: Run, witnesses: list[Run], patience_s: float, now_ms: int) -> Dead | None:
    """Whether the run is dead, by the latest sign of its witnesses."""
    name = run.info.run_name or run.info.run_id
    signature = run.data.tags.get(PROCESS, "")
    if process_is_gone(signature):
        return Dead(run.info.run_id, name, f"its process {signature} is gone")
    silent_s = (now_ms - max(map(_last_sign_ms, witnesses))) / 1000
    if silent_s > patience_s:
        return Dead(run.info.run_id, name, f"silent for {silent_s:.0f} s")
    return None


def _last_sign_ms(run: Run) -> int:
    """By its signs of life; begin and end, which bear the time of whoever wrote them, count where there is none."""
    if sign := run.data.tags.get(HEARTBEAT):
        return int(sign)
    return max(run.info.start_time, run.info.end_time or 0)
