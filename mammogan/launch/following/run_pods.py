"""The pods of one run as Kubernetes shows them: which run, what keeps the others from beginning, why one was lost.

Kubeflow's API tells none of that. The deciding fields are Kubernetes' own codes; its messages are shown, not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mammogan import cluster
from mammogan.document import Document
from mammogan.launch import condition, kubectl
from mammogan.launch.condition import Hindrance

RUN_LABEL = "pipeline/runid"
STEP_LABEL = "app.kubernetes.io/component"
NODE_NAME = "workflows.argoproj.io/node-name"


class Phase(StrEnum):
    """Kubernetes' phases of a pod."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class RunPod:
    """One pod of a run."""

    name: str
    step: str
    """The step, or the driver, whose pod it is."""
    phase: Phase
    obstacle: Hindrance | None = None
    """What keeps it from beginning; None where nothing is known to."""
    lost: str = ""
    """Why it failed, one line; empty where it did not."""
    began: str = ""
    """When a node took it, as Kubernetes writes it; empty for one that no node took."""


def find(run_id: str, namespace: str) -> list[RunPod]:
    """Pods of the run. Raises LookupError where kubectl cannot be asked."""
    listing = kubectl.ask("get", "pods", "--namespace", namespace, "--selector", f"{RUN_LABEL}={run_id}")
    return [parse(item) for item in listing.items("items")]


def command(run_id: str, namespace: str) -> str:
    """The command by which a person asks the same."""
    return f"kubectl describe pods -n {namespace} -l {RUN_LABEL}={run_id}"


def parse(pod: Document) -> RunPod:
    """What matters here of a pod as Kubernetes gives it."""
    status = pod.at("status")
    phase = Phase(status.text("phase") or Phase.UNKNOWN)
    if phase is Phase.RUNNING and _waits(status):
        phase = Phase.PENDING
    obstacle = condition.hindrance(status) if phase is Phase.PENDING else None
    lost = _lost(pod) if phase is Phase.FAILED else ""
    return RunPod(pod.text("metadata", "name"), _step(pod), phase, obstacle, lost, status.text("startTime"))


def lost(pods: Sequence[RunPod], name: str) -> str:
    """Why the pod of that name ended before its step did; empty where it did not fail."""
    if not name:
        return ""
    pod = next((pod for pod in pods if pod.name == name), None)
    return "its pod is no longer there: it was deleted" if pod is None else pod.lost


def _waits(status: Document) -> bool:
    """Whether the step's own container has not begun, whatever runs beside it."""
    own = [item for item in status.items("containerStatuses") if item.text("name") == cluster.MAIN]
    return any(item.has("state", "waiting") for item in own)


def _step(pod: Document) -> str:
    """A step's pod carries its name as a label, a driver's has its place in the graph alone."""
    path = pod.text("metadata", "annotations", NODE_NAME) or pod.text("metadata", "name")
    return pod.text("metadata", "labels", STEP_LABEL) or path.rpartition(".")[2].partition("(")[0]


def _lost(pod: Document) -> str:
    if cause := cluster.out_of_memory(pod):
        return cause
    status = pod.at("status")
    for item in status.items("containerStatuses"):
        if item.text("name") == cluster.MAIN and (code := item.number("state", "terminated", "exitCode")):
            return f"it ended with exit code {code}"
    reason = " ".join(f"{status.text('reason')} {status.text('message')}".split())[:500]
    return reason or "its status says no reason"
