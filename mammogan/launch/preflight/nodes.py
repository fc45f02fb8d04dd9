"""Nodes of a cluster: which a pod may use, and which is large enough; not what other pods leave of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mammogan.document import Document
from mammogan.launch.preflight.footprint import Amounts, Placement, amounts

KEEPS_AWAY = ("NoSchedule", "NoExecute")
COMPARED = ("cpu", "memory")
"""Resources that every node states; others are accelerators."""


@dataclass(frozen=True)
class Node:
    """What a node offers, and to whom."""

    name: str
    allocatable: Amounts
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    cordoned: bool

    def barrier(self, placement: Placement) -> str:
        """Why a pod may not use this node, in words; empty if it may."""
        if self.cordoned:
            return "is cordoned"
        missing = [f"{key}={value}" for key, value in placement.selector.items() if self.labels.get(key) != value]
        if missing:
            return f"lacks the label {missing[0]}"
        for taint in self.taints:
            if taint.get("effect") in KEEPS_AWAY and not any(_tolerates(item, taint) for item in placement.tolerations):
                value = f"={taint['value']}" if taint.get("value") else ""
                return f"has the taint {taint['key']}{value}:{taint['effect']}"
        return ""

    def missing(self, demand: Amounts) -> tuple[str, ...]:
        """Resources of which it offers less than a pod asks for."""
        relevant = {name: amount for name, amount in demand.items() if name in COMPARED or "/" in name}
        return tuple(name for name, amount in relevant.items() if self.allocatable.get(name, 0) < amount)


def read(node: Document) -> Node:
    """A node as kubectl shows it."""
    return Node(
        node.text("metadata", "name"),
        amounts(node.texts("status", "allocatable")),
        node.texts("metadata", "labels"),
        tuple(taint.texts() for taint in node.items("spec", "taints")),
        bool(node.flag("spec", "unschedulable")),
    )


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def largest(nodes: Sequence[Node], demand: Amounts) -> Node:
    """The node that comes nearest to a demand: that lacks least, then with most cores and memory."""
    return max(nodes, key=lambda node: (-len(node.missing(demand)), *(node.allocatable.get(n, 0) for n in COMPARED)))
