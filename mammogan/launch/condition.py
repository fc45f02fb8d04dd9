"""Why a pod does not start or has ended badly, by its own status: Kubernetes' reason, its words, and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PULL = "check the image's name and digest, the way to its registry, and --pods pull_secret"
_CONFIG = "apply what it names to that namespace: k8s/steps and the secrets"
FIXES = {
    "Unschedulable": "set a smaller size with --pods, or add a node; a pool that scales from zero needs longer",
    "SchedulingGated": "look at its queue: kubectl get workloads, and --pods queue",
    "ErrImagePull": _PULL,
    "ImagePullBackOff": _PULL,
    "InvalidImageName": "write the image as NAME@sha256:...",
    "ErrImageNeverPull": _PULL,
    "CreateContainerConfigError": _CONFIG,
    "CreateContainerError": "see kubectl describe pod",
    "RunContainerError": "see kubectl describe pod",
}
"""What to do for each reason that keeps a pod from starting."""
MAY_PASS = ("Unschedulable", "SchedulingGated")
"""Reasons that a node which is being made, or a queue, may fix without anybody."""


@dataclass(frozen=True)
class Hindrance:
    """What keeps a pod from starting."""

    reason: str
    message: str

    @property
    def may_pass(self) -> bool:
        """Whether it is worth waiting."""
        return self.reason in MAY_PASS

    def __str__(self) -> str:
        """One line: the reason, Kubernetes' own words, the fix."""
        said = " ".join(self.message.split())[:300].rstrip(". ")
        return f"{self.reason}{f': {said}' if said else ''}; {FIXES[self.reason]}"


def hindrance(status: Mapping[str, Any]) -> Hindrance | None:
    """What keeps the pod of this status from starting; None where nothing is known to."""
    return next(_hindrances(status), None)


def _hindrances(status: Mapping[str, Any]) -> Iterator[Hindrance]:
    for item in status.get("conditions") or ():
        if item.get("type") == "PodScheduled" and item.get("status") == "False" and item.get("reason") in FIXES:
            yield Hindrance(item["reason"], item.get("message", ""))
    for field in ("initContainerStatuses", "containerStatuses"):
        for item in status.get(field) or ():
            waiting = item.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in FIXES:
                yield Hindrance(waiting["reason"], waiting.get("message", ""))


def ending(status: Mapping[str, Any]) -> str:
    """How a pod ended, in a few words: ``OOMKilled``, ``Evicted: ...``, ``exit code 1``."""
    for item in status.get("containerStatuses") or ():
        ended = item.get("state", {}).get("terminated") or {}
        if ended.get("reason") not in (None, "Error", "Completed"):
            return ended["reason"]
        if ended:
            return f"exit code {ended.get('exitCode')}"
    return ": ".join(filter(None, (status.get("reason"), status.get("message")))) or "no word of how it ended"
