"""What one step's whole pod asks of a cluster: the step's own container, and what Argo and Kubeflow put beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from mammogan.graph import ACCELERATED, Step
from mammogan.launch.pods import Pods, parse_toleration
from mammogan.launch.preflight import quantity

Amounts = Mapping[str, Decimal]
"""Resource's name to cores, bytes or pieces."""


@dataclass(frozen=True)
class Container:
    """What one container of a pod requests, and at most gets."""

    name: str
    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)
    init: bool = False
    """Whether it runs before the others, and ends."""


@dataclass(frozen=True)
class Placement:
    """Which nodes a pod may use."""

    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, str], ...] = ()


def amounts(given: Mapping[str, str]) -> dict[str, Decimal]:
    """Amounts out of Kubernetes' quantities."""
    return {name: quantity.parse(text) for name, text in given.items()}


ADDED = (
    Container("wait"),
    Container("init", init=True),
    Container("kfp-launcher", amounts({"cpu": "100m"}), amounts({"cpu": "500m", "memory": "256Mi"}), init=True),
)
"""Containers beside a step's own, as Kubeflow Pipelines 2.17.0 with Argo 4.0.5 made them (recorded)."""

DRIVER = (
    Container("main", amounts({"cpu": "100m", "memory": "64Mi"}), amounts({"cpu": "500m", "memory": "512Mi"})),
    Container("wait"),
    Container("init", init=True),
)
"""A pod by which Kubeflow decides on a step before it begins, as recorded there."""


def containers(step: Step, pods: Pods) -> tuple[Container, ...]:
    """Every container of a step's pod, as it is sent to Kubernetes."""
    size = pods.size(step)
    limits = {"memory": size.memory}
    if accelerated(step, pods):
        limits[pods.accelerator] = str(pods.accelerators)
    return (Container("main", amounts({"cpu": size.cpu, "memory": size.memory}), amounts(limits)), *ADDED)


def placement(step: Step, pods: Pods) -> Placement:
    """Nodes that a step may use: for those without an accelerator any, for the others as ``pods`` says."""
    if not accelerated(step, pods):
        return Placement()
    own = {"key": pods.accelerator, "operator": "Exists", "effect": "NoSchedule"}
    selector = dict(item.split("=", 1) for item in pods.node_selector)
    return Placement(selector, (own, *map(parse_toleration, pods.tolerations)))


def accelerated(step: Step, pods: Pods) -> bool:
    """Whether a step's pod asks for an accelerator."""
    return step in ACCELERATED and pods.accelerators > 0


def requests(pod: Iterable[Container]) -> dict[str, Decimal]:
    """What the scheduler and a quota count for a pod: the sum of its containers, or a larger init container."""
    return _counted((item.init, item.requests) for item in pod)


def limits(pod: Iterable[Container]) -> dict[str, Decimal]:
    """The same for limits, of the containers that have one."""
    return _counted((item.init, item.limits) for item in pod)


def _counted(parts: Iterable[tuple[bool, Amounts]]) -> dict[str, Decimal]:
    total: dict[str, Decimal] = {}
    largest: dict[str, Decimal] = {}
    for init, given in parts:
        for name, amount in given.items():
            if init:
                largest[name] = max(largest.get(name, amount), amount)
            else:
                total[name] = total.get(name, Decimal(0)) + amount
    return {name: max(total.get(name, Decimal(0)), largest.get(name, Decimal(0))) for name in total | largest}
