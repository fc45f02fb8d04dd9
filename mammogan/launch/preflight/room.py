"""Whether every step's pod is let in and finds a node: by quota, limits, node sizes, labels and taints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from mammogan.graph import Step
from mammogan.launch import kubectl
from mammogan.launch.preflight import admission, footprint, nodes, quantity
from mammogan.launch.preflight.footprint import Placement
from mammogan.launch.preflight.quantity import GIB, shown
from mammogan.probe import Finding

if TYPE_CHECKING:
    from mammogan.launch.pods import Pods
    from mammogan.launch.preflight.admission import Bound, Quota, Refusal
    from mammogan.launch.preflight.footprint import Amounts, Container
    from mammogan.launch.preflight.nodes import Node

SCALES = "a node pool that scales from zero shows none until it is needed"
DRIVERS = "Kubeflow's drivers"
SHOWN = 3
"""So many nodes are named one by one."""
OTHERS = "what other pods take of them is not counted"


def look(namespace: str, pods: Pods) -> list[Finding]:
    """Findings on quota and limits, on accelerators, and on the nodes for each step."""
    try:
        bounds, quotas = _rules(namespace)
        admitted = _admitted(namespace, pods, bounds, quotas)
    except (LookupError, ValueError) as error:
        bounds, admitted = [], [Finding("quota and limits", False, str(error.args[0]))]
    try:
        cluster_nodes = [nodes.read(item) for item in kubectl.ask("get", "nodes").items("items")]
        return [*admitted, *_placed(pods, bounds, cluster_nodes)]
    except (LookupError, ValueError) as error:
        reason = f"{error.args[0]}; let somebody look who may list nodes"
        return [*admitted, Finding("nodes", False, reason)]


def _rules(namespace: str) -> tuple[list[Bound], list[Quota]]:
    ranges = kubectl.ask("get", "limitrange", "--namespace", namespace).items("items")
    items = kubectl.ask("get", "resourcequota", "--namespace", namespace).items("items")
    bounds = [bound for item in ranges for bound in admission.bounds(item)]
    return bounds, [quota for item in items if (quota := admission.quota(item))]


def _admitted(namespace: str, pods: Pods, bounds: Sequence[Bound], quotas: Sequence[Quota]) -> list[Finding]:
    """One finding for each refusal, with the steps that it concerns."""
    refused: dict[Refusal, list[str]] = {}
    for step in Step:
        for refusal in admission.refusals(footprint.containers(step, pods), bounds, quotas):
            refused.setdefault(refusal, []).append(step)
    named = {(item.by, item.resource) for item in refused}
    for refusal in admission.refusals(footprint.DRIVER, bounds, quotas):
        if (refusal.by, refusal.resource) not in named:
            refused[refusal] = [DRIVERS]
    if not refused:
        names = sorted({f"LimitRange {item.of}" for item in bounds} | {f"ResourceQuota {item.name}" for item in quotas})
        summary = f"{' and '.join(names)} let every step in" if names else "none"
        return [Finding("quota and limits", True, f"{summary}, in namespace {namespace}")]
    return [Finding("quota and limits", False, _explanation(item, of, namespace, pods)) for item, of in refused.items()]


def _explanation(refusal: Refusal, names: Sequence[str], namespace: str, pods: Pods) -> str:
    smaller = _setting(refusal.resource, [step for step in Step if step in names], pods)
    kind, name = refusal.by.split()
    where = f"kubectl edit {kind.lower()} {name} -n {namespace}"
    instead = f", or set {smaller} lower" if smaller else ""
    return f"{_listed(names)}: {refusal.by}: the pod {refusal.reason}; {refusal.fix} ({where}){instead}"


def _setting(resource: str, steps: Sequence[Step], pods: Pods) -> str:
    """The setting that a step's request for a resource comes from; empty where there is none."""
    kind = resource.removeprefix("requests.").removeprefix("limits.")
    if steps and kind in nodes.COMPARED:
        return f"--pods {steps[0].name.lower()}.{kind}"
    return "--pods accelerators" if kind == pods.accelerator else ""


def _placed(pods: Pods, bounds: Sequence[Bound], cluster_nodes: Sequence[Node]) -> list[Finding]:
    """The accelerators' finding, then that of the nodes; or one for each step that has none.

    Steps that share a reason other than their size are told together, the accelerated ones by their own finding.
    """
    fast = [step for step in Step if footprint.accelerated(step, pods)]
    slow = [step for step in Step if step not in fast]
    accelerators = _accelerators(pods, cluster_nodes)
    compared = [step for step in Step if step in slow or accelerators.ok]
    if all(node.barrier(Placement()) for node in cluster_nodes):
        reason = f"no node that {_listed(slow)} may use: {_barriers(cluster_nodes, Placement())} ({SCALES})"
        return [accelerators, Finding("nodes", False, reason)]
    pod = {step: admission.filled(footprint.containers(step, pods), bounds) for step in compared}
    misfits = [reason for step in compared if (reason := _misfit(step, pods, pod[step], cluster_nodes))]
    if misfits:
        return [accelerators, *(Finding("nodes", False, reason) for reason in misfits)]
    return [accelerators, _fit(compared, pods, cluster_nodes)]


def _fit(steps: Sequence[Step], pods: Pods, cluster_nodes: Sequence[Node]) -> Finding:
    largest = max(steps, key=lambda step: [quantity.parse(getattr(pods.size(step), n)) for n in nodes.COMPARED])
    size = f"{shown('cpu', quantity.parse(pods.size(largest).cpu))} and {pods.size(largest).memory}"
    compared = "every step" if len(steps) == len(Step) else f"of the steps compared ({_listed(steps)}) each"
    message = f"{compared} fits one of {len(cluster_nodes)}, {largest} with {size} too; {OTHERS}"
    return Finding("nodes", True, message)


def _accelerators(pods: Pods, cluster_nodes: Sequence[Node]) -> Finding:
    """Accelerators on the nodes that an accelerated step may use."""
    if not pods.accelerators:
        return Finding("accelerators", True, "none asked for")
    placement = footprint.placement(Step.TRAIN, pods)
    having = [node for node in cluster_nodes if node.allocatable.get(pods.accelerator, 0) >= pods.accelerators]
    usable = [node for node in having if not node.barrier(placement)]
    if usable:
        total = sum(node.allocatable[pods.accelerator] for node in usable)
        where = "1 node" if len(usable) == 1 else f"{len(usable)} nodes"
        return Finding("accelerators", True, f"{total:f} x {pods.accelerator} on {where}")
    if having:
        reason = f"no node with {pods.accelerator} may be used: {_barriers(having, placement)}"
        return Finding("accelerators", False, reason)
    fix = "add one or install its device plugin, or compile with --pods accelerators=0"
    return Finding("accelerators", False, f"no node has {pods.accelerators} x {pods.accelerator}; {fix} ({SCALES})")


def _barriers(cluster_nodes: Sequence[Node], placement: Placement) -> str:
    """Why none of these nodes may be used, of the first few, and the fix."""
    if not cluster_nodes:
        return "there is none"
    barriers = "; ".join(f"{node.name} {node.barrier(placement)}" for node in cluster_nodes[:SHOWN])
    more = f"; and {len(cluster_nodes) - SHOWN} more" if len(cluster_nodes) > SHOWN else ""
    settings = (
        ", or --pods node_selector and --pods tolerations" if placement.tolerations else " or take the taint away"
    )
    return f"{barriers}{more}: kubectl uncordon{settings}"


def _misfit(step: Step, pods: Pods, pod: Sequence[Container], cluster_nodes: Sequence[Node]) -> str:
    """Why no node can take a step's pod, with the setting that would let one; empty where one can."""
    placement = footprint.placement(step, pods)
    demand = footprint.requests(pod)
    usable = [node for node in cluster_nodes if not node.barrier(placement)]
    if any(not node.missing(demand) for node in usable):
        return ""
    if footprint.accelerated(step, pods):
        usable = [node for node in usable if pods.accelerator not in node.missing(demand)]
    node = nodes.largest(usable, demand)
    overhead = _overhead(pod, pods.size(step).cpu, pods.size(step).memory)
    settings = _smaller(step, node, demand, overhead)
    return (
        f"{step} asks for {_shown(demand)}{_added(overhead)}; the largest node that it may use, {node.name}, offers "
        f"{_shown(node.allocatable)}: {settings} ({SCALES})"
    )


def _overhead(pod: Sequence[Container], cpu: str, memory: str) -> dict[str, Decimal]:
    """What the pod asks for beyond the step's own size."""
    total = footprint.requests(pod)
    own = {"cpu": quantity.parse(cpu), "memory": quantity.parse(memory)}
    return {name: total.get(name, Decimal(0)) - amount for name, amount in own.items()}


def _added(overhead: Mapping[str, Decimal]) -> str:
    added = [shown(name, amount) for name, amount in overhead.items() if amount > 0]
    return f" ({' and '.join(added)} of them for Kubeflow's own containers)" if added else ""


def _shown(amounts: Amounts) -> str:
    return " and ".join(shown(name, amounts.get(name, Decimal(0))) for name in nodes.COMPARED)


def _smaller(step: Step, node: Node, demand: Amounts, overhead: Mapping[str, Decimal]) -> str:
    """Settings with which the step fits this node and leaves something to what runs on every node."""
    parts = []
    for name in node.missing(demand):
        left = node.allocatable.get(name, Decimal(0)) - overhead[name]
        parts.append(f"--pods {step.name.lower()}.{name}={_below(name, left)}")
    return " ".join(parts)


def _below(name: str, amount: Decimal) -> str:
    """The largest whole number of cores or GiB below an amount; below one of them the half of it."""
    unit, suffix, small, part = (
        (Decimal(1), "", "m", Decimal("0.001")) if name == "cpu" else (GIB, "Gi", "Mi", GIB / 1024)
    )
    whole = (amount / unit).to_integral_value(ROUND_CEILING) - 1
    return f"{whole:f}{suffix}" if whole >= 1 else f"{max(int(amount / 2 / part), 1)}{small}"


def _listed(names: Sequence[str]) -> str:
    return "every step" if set(Step) <= set(names) else ", ".join(names)
