"""A run of which nothing runs: since when, why, and whether it has waited long enough to be ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammogan.launch.following import rows, run_pods
from mammogan.launch.following.run_pods import Phase

if TYPE_CHECKING:
    from mammogan.launch.following.run_pods import RunPod
    from mammogan.launch.following.watch import View

ASK_AFTER_S = 120.0
"""Time without any change after which Kubernetes is asked what the run waits for."""
ASK_EVERY_S = 20.0


@dataclass(frozen=True)
class Wait:
    """What a run waits for, as far as can be told."""

    reason: str
    """For a person; empty where nothing is known to keep it."""
    too_long: bool = False
    """Whether it was known to wait for all of the time that it may."""


class Waiting:
    """Watches for a run of which nothing runs. A trial that waits while another one trains does not count.

    What is sure comes from the pods, where kubectl can be asked, else from the run's record in MLflow. Kubeflow's list
    of tasks alone is not enough to end a run by: it stands still for a large workflow.
    """

    def __init__(
        self, run_id: str, namespace: str, pending_s: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_id, self._namespace, self._pending_s, self._now = run_id, namespace, pending_s, now
        self._seen: object = None
        self._since_s = now()
        self._asked_at_s = -ASK_EVERY_S
        self._wait = Wait("")

    def look(self, view: View) -> Wait:
        """What the run waits for now; nothing within two minutes after it last changed."""
        now = self._now()
        if (seen := _fingerprint(view)) != self._seen:
            self._seen, self._since_s, self._wait = seen, now, Wait("")
        if view.away or view.ended or now - self._since_s < ASK_AFTER_S:
            return self._wait
        if now - self._asked_at_s >= ASK_EVERY_S:
            self._asked_at_s = now
            self._wait = self._ask(view, now - self._since_s)
            if not self._wait.reason:
                self._since_s = now
        return self._wait

    def _ask(self, view: View, for_s: float) -> Wait:
        over = for_s >= self._pending_s
        try:
            pods = run_pods.find(self._run_id, self._namespace)
        except LookupError as error:
            if not _is_idle(view):
                return Wait("")
            asking = run_pods.command(self._run_id, self._namespace)
            known = view.standing is not None or not rows.from_kubeflow(view.run)
            return Wait(f"nothing of the run runs; {asking} tells why ({error})", over and known)
        if any(pod.phase is Phase.RUNNING for pod in pods):
            return Wait("")
        pending = [pod for pod in pods if pod.phase is Phase.PENDING]
        sure = pending or (view.standing is not None and _is_idle(view))
        return Wait(_obstacles(pending) or self._no_pod(view), over and bool(sure))

    def _no_pod(self, view: View) -> str:
        if not _is_idle(view):
            return ""
        asking = f"kubectl describe workflows -n {self._namespace} -l {run_pods.RUN_LABEL}={self._run_id}"
        return f"no pod of the run is there: a step's next attempt is due, or a quota is used up; {asking} tells why"


def _obstacles(pending: Sequence[RunPod]) -> str:
    """What keeps the pending pods, those first of which it is known."""
    kept = dict.fromkeys(f"{pod.step} cannot begin: {pod.obstacle}" for pod in pending if pod.obstacle)
    if kept:
        return "; ".join(kept)
    steps = dict.fromkeys(pod.step for pod in pending)
    return f"{', '.join(steps)}: its pod is on a node, and its image or volumes are not there yet" if steps else ""


def _is_idle(view: View) -> bool:
    """Whether nothing runs as far as record and Kubeflow tell."""
    if view.standing:
        return view.standing.status == "RUNNING" and not view.standing.ledger.running()
    return rows.waits(view.run)


def _fingerprint(view: View) -> object:
    """What changes whenever the run gets on."""
    record = view.standing and (view.standing.status, dict(view.standing.ledger.entries), dict(view.standing.losses))
    details = (view.run.run_details.task_details if view.run.run_details else None) or ()
    return view.run.state, sorted((task.task_id or "", task.state or "") for task in details), record
