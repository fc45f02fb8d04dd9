"""What a generator must pass before it may win, and before it may replace the champion.

A gate answers with a ``Verdict``; what was not measured never passes silently: a missing deciding metric fails, and a
check that lacks its data says that it was not made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from mammogan.config import SelectConfig

Candidate = Mapping[str, Any]
Measure = Mapping[str, Any]

NOT_CHECKED = "not checked"
"""How a gate's reason begins where it lacked its data: it refuses nothing, but it did not pass either."""


@dataclass(frozen=True)
class Verdict:
    """Answer of one gate."""

    gate: str
    """Name of the gate."""
    passed: bool
    """Whether the candidate may go on."""
    why: str
    """The numbers behind it, or why the check was not made."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, ready for JSON."""
        return asdict(self)


def answer(verdict: Mapping[str, Any]) -> str:
    """``passed``, ``refused`` or ``not checked``, of a ``Verdict`` as its ``to_dict`` gives it."""
    if verdict["why"].startswith(NOT_CHECKED):
        return NOT_CHECKED
    return "passed" if verdict["passed"] else "refused"


def tally(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """All answers in a few words; those that begin with ``passed`` refused nothing and rest on at least one check."""
    answers = [answer(verdict) for verdict in verdicts]
    unchecked = answers.count(NOT_CHECKED)
    if refused := [item["gate"] for item in verdicts if answer(item) == "refused"]:
        return f"refused: {', '.join(refused)}"
    if unchecked == len(answers):
        return f"{NOT_CHECKED}: none of {len(answers)} checks had its data"
    return f"passed {len(answers) - unchecked} of {len(answers)} checks" + (
        f", {unchecked} {NOT_CHECKED}" if unchecked else ""
    )


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def overlap(one: Measure, other: Measure) -> bool:
    """Whether two intervals overlap; an interval that is not known overlaps with everything."""
    ends = [one.get("low"), one.get("high"), other.get("low"), other.get("high")]
    if not all(is_number(end) for end in ends):
        return True
    return not (one["high"] < other["low"] or other["high"] < one["low"])


def candidate_gates(candidate: Candidate, config: SelectConfig) -> list[Verdict]:
    """Gates on a snapshot by itself: its deciding metrics are there, it is diverse, and it does not copy."""
    return [measured(candidate), diverse(candidate, config.min_diversity), not_memorised(candidate)]


def measured(candidate: Candidate) -> Verdict:
    """Every deciding metric has a finite value."""
    missing = [key for key in candidate["deciding"] if not is_number(candidate["metrics"].get(key, {}).get("value"))]
    if missing or not candidate["deciding"]:
        return Verdict("measured", False, f"no finite value of {', '.join(missing) or 'any metric'}")
    return Verdict("measured", True, f"{', '.join(candidate['deciding'])} are finite")


def diverse(candidate: Candidate, least: float) -> Verdict:
    """LPIPS among fakes is at least the share ``least`` of LPIPS among reals: a collapsed generator has nearly 0."""
    for key, measure in candidate["metrics"].items():
        if key.startswith("lpips") and key.endswith("/fake_fake"):
            if not (is_number(measure.get("value")) and is_number(measure.get("reference"))):
                return Verdict("diverse", False, f"{key} has no finite value and reference")
            share = measure["value"] / measure["reference"] if measure["reference"] else math.inf
            return Verdict("diverse", share >= least, f"{key} is {share:.2f} of real images'; at least {least:g}")
    return Verdict("diverse", False, "no LPIPS between fakes was measured")


def not_memorised(candidate: Candidate) -> Verdict:
    """KID does not favour the train reals: a generator that copies them is far nearer to them than to the test reals.

    Train and test reals differ by themselves; that distance is the reference of KID against test. The gate fails when
    KID against test exceeds KID against train by more than the reference, with both intervals' nearer ends.
    """
    pairs = {key.rpartition("/")[2]: measure for key, measure in candidate["metrics"].items() if key.startswith("kid/")}
    train, test = pairs.get("train", {}), pairs.get("test", {})
    numbers = (train.get("high"), test.get("low"), test.get("reference"))
    if not all(is_number(number) for number in numbers):
        return Verdict("not memorised", True, f"{NOT_CHECKED}: KID against test lacks a value, interval or reference")
    gap = test["low"] - train["high"] - max(test["reference"], 0.0)
    return Verdict(
        "not memorised", gap <= 0, f"KID against test exceeds KID against train and their reference by {gap:.3g}"
    )


def audited(told: str | None) -> Verdict:
    """The audit of a version's synthetic images refused nothing; ``told`` is what it left on the version."""
    if not told:
        return Verdict("audited", False, "its images were not audited for copies of training images")
    return Verdict("audited", told.startswith("passed"), f"the audit {told}")


def better_than(candidate: Candidate, champion: Candidate | None) -> Verdict:
    """Whether ``candidate`` may replace ``champion``: better on the same protocol, or not worse and cheaper.

    Better means a lower first deciding metric, intervals apart; not worse means overlapping intervals; cheaper means
    fewer seconds of training.
    """
    name = "better than the champion"
    if not (own := measured(candidate)).passed:
        return Verdict(name, False, own.why)
    if champion is None:
        return Verdict(name, True, "there is no champion yet")
    if difference := protocol_difference(candidate, champion):
        return Verdict(name, False, f"not comparable: {difference}; evaluate both alike, or promote by force")
    key = candidate["deciding"][0]
    new, old = candidate["metrics"][key], champion["metrics"][key]
    told = f"{key} {new['value']:.4g} against the champion's {old['value']:.4g}"
    if not overlap(new, old):
        return Verdict(name, new["value"] < old["value"], told)
    cost, other_cost = candidate.get("train_s"), champion.get("train_s")
    if not (is_number(cost) and is_number(other_cost)):
        return Verdict(name, False, f"{told}: no significant difference, and the cost of one is not known")
    trained = f"trained {cost:.0f} s against {other_cost:.0f} s"
    return Verdict(name, cost < other_cost, f"{told}: no significant difference; {trained}")


def protocol_difference(candidate: Candidate, champion: Candidate) -> str:
    """What was measured otherwise; empty when the two can be compared."""
    if candidate["deciding"] != champion["deciding"]:
        return f"{', '.join(candidate['deciding'])} against {', '.join(champion['deciding'])}"
    if not measured(champion).passed:
        return "the champion's metrics are missing"
    new, old = ({**item["protocol"], "data_digest": item.get("data_digest")} for item in (candidate, champion))
    return ", ".join(f"{name} {new[name]} against {old.get(name)}" for name in new if new[name] != old.get(name))


def failures(verdicts: Iterable[Verdict]) -> str:
    """The failed gates in one line; empty when all passed."""
    return "; ".join(f"{item.gate}: {item.why}" for item in verdicts if not item.passed)
