"""What Kubernetes' admission does with a step's pod: a LimitRange fills in and bounds, a ResourceQuota counts.

Only what concerns a pod of a run: its containers, an end (``activeDeadlineSeconds``), no priority class, no claims.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mammogan.document import Document
from mammogan.launch.preflight.footprint import Amounts, Container, amounts, limits, requests
from mammogan.launch.preflight.quantity import shown

NAMED = ("cpu", "memory")
"""Resources that every container must name where a quota counts them."""
_NONE = Decimal(0)


@dataclass(frozen=True)
class Bound:
    """One entry of a LimitRange, for each container or for a whole pod."""

    of: str
    """The LimitRange's name."""
    whole_pod: bool
    default: Amounts
    default_request: Amounts
    least: Amounts
    most: Amounts
    ratio: Amounts
    """Limit divided by request, at most."""


@dataclass(frozen=True)
class Quota:
    """A ResourceQuota that counts the pods of a run."""

    name: str
    hard: Amounts
    used: Amounts


@dataclass(frozen=True)
class Refusal:
    """Why a pod would not be let in."""

    by: str
    """``ResourceQuota NAME``, ``LimitRange NAME``."""
    resource: str
    reason: str
    """What is asked for and what may be, without the step's name."""
    fix: str


def bounds(limit_range: Document) -> tuple[Bound, ...]:
    """Entries of a LimitRange, as Kubernetes stores it: what has no default takes the maximum, or the minimum."""
    name = limit_range.text("metadata", "name")
    kinds = ("Container", "Pod")
    return tuple(_bound(name, item) for item in limit_range.items("spec", "limits") if item.text("type") in kinds)


def _bound(name: str, item: Document) -> Bound:
    fields = ("default", "defaultRequest", "min", "max", "maxLimitRequestRatio")
    default, default_request, least, most, ratio = (amounts(item.texts(field)) for field in fields)
    whole_pod = item.text("type") == "Pod"
    if not whole_pod:
        default = most | default
        default_request = least | default | default_request
    return Bound(name, whole_pod, default, default_request, least, most, ratio)


def quota(stored: Document) -> Quota | None:
    """A ResourceQuota as Kubernetes stores it; None where its scopes leave out the pods of a run."""
    scopes = [item.text() for item in stored.items("spec", "scopes")]
    if not all(map(_is_in_scope, (*scopes, *_selected(stored)))):
        return None
    hard, used = (amounts(stored.texts(*path)) for path in (("spec", "hard"), ("status", "used")))
    return Quota(stored.text("metadata", "name"), hard, used)


def _selected(stored: Document) -> Iterator[str]:
    """Scopes of a selector; the operators that ask for a value ask for one that these pods do not have."""
    for term in stored.items("spec", "scopeSelector", "matchExpressions"):
        asks = term.text("operator") in ("Exists", "In")
        yield term.text("scopeName") if asks else f"Not{term.text('scopeName')}"


def _is_in_scope(scope: str) -> bool:
    return scope in ("Terminating", "NotBestEffort", "NotPriorityClass", "NotCrossNamespacePodAffinity")


def filled(pod: Sequence[Container], ranges: Sequence[Bound]) -> tuple[Container, ...]:
    """The pod after defaults: a limit without a request is one too, then each LimitRange fills in what is missing."""
    return tuple(_filled(item, ranges) for item in pod)


def _filled(container: Container, ranges: Sequence[Bound]) -> Container:
    asked: dict[str, Decimal] = {**container.limits, **container.requests}
    most = dict(container.limits)
    for bound in ranges:
        if not bound.whole_pod:
            asked = {**bound.default_request, **asked}
            most = {**bound.default, **most}
    return dataclasses.replace(container, requests=asked, limits=most)


def refusals(pod: Sequence[Container], ranges: Sequence[Bound], quotas: Sequence[Quota]) -> list[Refusal]:
    """Every reason for which a pod would be refused; none means that it is let in."""
    full = filled(pod, ranges)
    reasons = [*_beyond_limit(full, ranges), *_out_of_bounds(full, ranges)]
    for item in quotas:
        reasons += [*_unnamed(full, item), *_over(full, item)]
    return reasons


def _beyond_limit(pod: Sequence[Container], ranges: Sequence[Bound]) -> Iterator[Refusal]:
    """A default limit below a request makes a pod that is not valid."""
    for container in pod:
        for name, limit in container.limits.items():
            if container.requests.get(name, _NONE) > limit:
                by = next(item.of for item in ranges if name in {**item.default, **item.default_request})
                reason = (
                    f"requests {shown(name, container.requests[name])}, above the default limit {shown(name, limit)}"
                )
                yield Refusal(f"LimitRange {by}", name, reason, f"take the default for {name} out of it, or raise it")


def _out_of_bounds(pod: Sequence[Container], ranges: Sequence[Bound]) -> Iterator[Refusal]:
    for bound in ranges:
        parts = [(requests(pod), limits(pod))] if bound.whole_pod else [(c.requests, c.limits) for c in pod]
        kind = "a pod" if bound.whole_pod else "a container"
        for asked, most in parts:
            yield from _out_of_bound(bound, kind, asked, most)


def _out_of_bound(bound: Bound, kind: str, asked: Amounts, most: Amounts) -> Iterator[Refusal]:
    by = f"LimitRange {bound.of}"
    for name, top in bound.most.items():
        given = max(asked.get(name, _NONE), most.get(name, _NONE))
        if given > top:
            reason = f"takes {shown(name, given)}, above the {shown(name, top)} that {kind} may have"
            yield Refusal(by, name, reason, f"raise its maximum for {name}")
        elif name not in most:
            yield Refusal(by, name, f"has no limit for {name}, of which {kind} needs one", f"take max {name} out of it")
    for name, bottom in bound.least.items():
        if asked.get(name, _NONE) < bottom:
            reason = f"requests {shown(name, asked.get(name, _NONE))}, below the {shown(name, bottom)} that {kind} must"
            yield Refusal(by, name, reason, f"lower its minimum for {name}")
    for name, ratio in bound.ratio.items():
        if not asked.get(name) or most.get(name, _NONE) / asked[name] > ratio or name not in most:
            yield Refusal(by, name, f"has a limit of {name} above {ratio} times its request", "raise its ratio")


def _unnamed(pod: Sequence[Container], counted: Quota) -> Iterator[Refusal]:
    """Where a quota counts cores or memory, a pod is refused in which any container names none."""
    for name in counted.hard:
        kind, _, resource = (
            name.rpartition(".") if name.startswith(("requests.", "limits.")) else ("requests", "", name)
        )
        if resource not in NAMED:
            continue
        missing = [c.name for c in pod if resource not in (c.limits if kind == "limits" else c.requests)]
        if missing:
            default = "default" if kind == "limits" else "defaultRequest"
            yield Refusal(
                f"ResourceQuota {counted.name}",
                name,
                f"has containers without {name}: {', '.join(missing)}",
                f"take {name} out of the quota, or give the namespace a LimitRange with {default} {resource}",
            )


def _over(pod: Sequence[Container], counted: Quota) -> Iterator[Refusal]:
    use = usage(pod)
    for name, hard in counted.hard.items():
        needed, used = use.get(name, _NONE), counted.used.get(name, _NONE)
        by = f"ResourceQuota {counted.name}"
        if needed > hard:
            reason = f"needs {shown(name, needed)} of {name}, and the quota allows {shown(name, hard)} at all"
            yield Refusal(by, name, reason, f"raise {name} in it")
        elif needed and needed > hard - used:
            reason = (
                f"needs {shown(name, needed)} of {name}, and of {shown(name, hard)} only {shown(name, hard - used)} "
            )
            yield Refusal(by, name, f"{reason.rstrip()} are left", f"wait for what runs there, or raise {name} in it")


def usage(pod: Sequence[Container]) -> dict[str, Decimal]:
    """What a pod counts for in a quota, by the quota's names."""
    asked, most = requests(pod), limits(pod)
    plain = {name: amount for name, amount in asked.items() if name in (*NAMED, "ephemeral-storage")}
    named = {f"requests.{name}": amount for name, amount in asked.items()}
    return {
        **plain,
        **named,
        **{f"limits.{name}": amount for name, amount in most.items()},
        "pods": Decimal(1),
        "count/pods": Decimal(1),
    }
