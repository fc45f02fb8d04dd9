"""How a run ended: as its record in MLflow says, and where none can be read, as Kubeflow and the pods say.

Kubeflow calls a run that was terminated FAILED, too, and never says why one is.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mammogan.launch.following import run_pods
from mammogan.launch.following.run_pods import Phase
from mammogan.ledger import Fate, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mammogan.launch.following.run_pods import RunPod
    from mammogan.launch.following.watch import View
    from mammogan.tracking.standing import Standing

FINISHED, RUNNING, SUCCEEDED = "FINISHED", "RUNNING", "SUCCEEDED"


def close(view: View, fate: Fate, why: str, tracking_uri: str) -> View:
    """The run with its record, where it has one, and its trials' ended; ``why`` stands before the reason."""
    from mammogan import tracking

    if view.standing is None:
        return view
    ended = tracking.end(view.standing.run_id, fate, why, tracking_uri)
    return dataclasses.replace(
        view, standing=dataclasses.replace(view.standing, status=ended.status, reason=ended.reason)
    )


def fate(view: View, namespace: str) -> Fate:
    """What Kubeflow and the pods tell of a run that is over beside its record."""
    pods = pods_of(view, namespace)
    if view.standing is None or not pods:
        return Fate(terminated=view.terminated)
    entries = view.standing.ledger.entries.values()
    unended = [entry for entry in entries if entry.state in (State.RUNNING, State.STOPPED)]
    causes = {entry.task: cause for entry in unended if (cause := run_pods.lost(pods, entry.pod))}
    return Fate(view.terminated, causes, _failed(pods, namespace))


def summary(view: View) -> str:
    """How the run ended, or stands, in one line."""
    if view.standing:
        return _with_reason(view.standing)
    return f"{view.run.state}{', terminated' if view.terminated else ''} in Kubeflow"


def is_good(view: View) -> bool:
    """Whether every step that was due did its work; where no record tells, whether Kubeflow says so."""
    return view.standing.status == FINISHED if view.standing else view.run.state == SUCCEEDED


def reason(view: View, namespace: str) -> str:
    """Why a run did not end well, one line."""
    if view.standing:
        return view.standing.reason or "its record says no reason"
    if view.terminated:
        return "it was terminated"
    failed = [row.task for row in view.rows() if row.state is State.FAILED]
    where = f"step {failed[0].step} failed" if failed else "Kubeflow shows no step that failed"
    pods = pods_of(view, namespace)
    cause = _failed(pods, namespace)
    return f"{where}: {cause}" if cause else f"{where}; {run_pods.command(view.run.run_id, namespace)} tells why"


def pods_of(view: View, namespace: str) -> Sequence[RunPod]:
    """The run's pods as far as they are still there; none where kubectl cannot be asked."""
    try:
        return run_pods.find(view.run.run_id, namespace)
    except LookupError:
        return ()


def _failed(pods: Sequence[RunPod], namespace: str) -> str:
    """The first pod that failed, and why, or that cannot begin; empty where there is none."""
    in_order = sorted(pods, key=lambda pod: pod.began)
    for pod in in_order:
        if pod.phase is Phase.FAILED:
            return f"{pod.step}: {pod.lost}; kubectl logs -n {namespace} {pod.name} -c main tells more"
    return next((f"{pod.step}: {pod.obstacle}" for pod in in_order if pod.obstacle), "")


def _with_reason(standing: Standing) -> str:
    return f"{standing.status}{f': {standing.reason}' if standing.reason else ''}"
