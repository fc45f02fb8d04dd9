"""Why a pod does not start or has ended badly, by its own status: Kubernetes' reason, its words, and the fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mammogan.document import Document

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
        message = " ".join(self.message.split())[:300].rstrip(". ")
        return f"{self.reason}{f': {message}' if message else ''}; {FIXES[self.reason]}"


def hindrance(status: Document) -> Hindrance | None:
    """What keeps the pod of this status from starting; None where nothing is known to."""
    return next(_hindrances(status), None)


def _hindrances(status: Document) -> Iterator[Hindrance]:
    for item in status.items("conditions"):
        unscheduled = (item.text("type"), item.text("status")) == ("PodScheduled", "False")
        if unscheduled and item.text("reason") in FIXES:
            yield Hindrance(item.text("reason"), item.text("message"))
    for field in ("initContainerStatuses", "containerStatuses"):
        for item in status.items(field):
            waiting = item.at("state", "waiting")
            if waiting.text("reason") in FIXES:
                yield Hindrance(waiting.text("reason"), waiting.text("message"))


def ending(status: Document) -> str:
    """How a pod ended, in a few words: ``OOMKilled``, ``Evicted: ...``, ``exit code 1``."""
    for item in status.items("containerStatuses"):
        ended = item.at("state", "terminated")
        if ended.text("reason") not in ("", "Error", "Completed"):
            return ended.text("reason")
        if ended:
            return f"exit code {ended.number('exitCode')}"
    return ": ".join(filter(None, (status.text("reason"), status.text("message")))) or "no word of how it ended"
