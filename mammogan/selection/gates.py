"""What a generator must pass before it may win, and before it may replace a champion.

A gate answers with a ``Verdict``; what was not measured never passes: a missing deciding metric is refused, and a check
that lacks its data was not made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from mammogan.config import AuditCheck, SelectConfig
from mammogan.numbers import number
from mammogan.results import (
    Audit,
    Candidate,
    Contest,
    Measurement,
    Outcome,
    Verdict,
    WinnerResult,
    combined,
    unmade,
)
from mammogan.selection.pairing import TRAIN, VALIDATION


def tally(verdicts: Sequence[Verdict]) -> str:
    """All answers in a few words."""
    refused = [verdict.gate for verdict in verdicts if verdict.refuses]
    if refused:
        return f"refused: {', '.join(refused)}"
    count = len(verdicts)
    unchecked = sum(verdict.outcome is Outcome.NOT_CHECKED for verdict in verdicts)
    if combined(verdicts) is Outcome.NOT_CHECKED:
        return f"not checked: none of {count} checks had its data"
    return f"passed {count - unchecked} of {count} checks" + (f", {unchecked} not checked" if unchecked else "")


DEMO = "demo, not for release"


def audit_summary(audit: Audit) -> str:
    """What the audit came to, in a line: its checks, required ones that were not made and why, and what it is for."""
    words = tally(audit.verdicts)
    if audit.outcome is Outcome.NOT_CHECKED:
        missing = unmade(audit.verdicts, audit.required)
        reasons = "; ".join(f"{check} ({_reason(audit, check)})" for check in missing)
        count = f"{len(missing)} of {len(audit.required)} required checks were not made"
        words = f"not checked: {count}: {reasons}; {words}"
    return words if audit.for_release else f"{words}; {release_note(audit)}"


def _reason(audit: Audit, check: AuditCheck) -> str:
    """Why a check was not made, in a few words."""
    for measure in audit.measures:
        if measure.check is check and measure.needed is not None:
            return f"it takes at least {measure.needed} {measure.unit} to show; there are {measure.given}"
    return next((item.why for item in audit.verdicts if item.check is check), "it was not made")


def release_note(audit: Audit) -> str:
    """What is said of an audit that leaves out checks or is laxer than by default; empty for one that is whole."""
    return demo_note(audit.required, audit.loosened)


def demo_note(required: Iterable[AuditCheck], loosened: Sequence[str]) -> str:
    """The same of the checks that must pass and the settings that are laxer, before any was made."""
    left_out = len(AuditCheck) - len(set(required))
    parts = [f"{left_out} of {len(AuditCheck)} checks are not required"] if left_out else []
    if loosened:
        parts.append(f"{' and '.join(loosened)} {'is' if len(loosened) == 1 else 'are'} laxer than by default")
    return f"{DEMO}: {'; '.join(parts)}" if parts else ""


def verdict(gate: str, passed: bool, why: str) -> Verdict:
    """The verdict of a check that was made."""
    return Verdict(gate, Outcome.PASSED if passed else Outcome.REFUSED, why)


def candidate_gates(candidate: Candidate, config: SelectConfig) -> list[Verdict]:
    """Gates on a snapshot by itself: its deciding metrics are there, it is diverse, and it does not copy."""
    return [measured(candidate), diverse(candidate, config.min_diversity), not_memorised(candidate.measurements)]


def measured(candidate: Candidate) -> Verdict:
    """Every deciding metric has a value."""
    missing = [quantity.key for quantity in candidate.deciding if candidate.find(quantity) is None]
    if missing or not candidate.deciding:
        return verdict("measured", False, f"no value of {', '.join(missing) or 'any metric'}")
    return verdict("measured", True, f"{', '.join(quantity.key for quantity in candidate.deciding)} are finite")


def _find(measurements: Iterable[Measurement], metric: str, pairing: str) -> Measurement | None:
    for item in measurements:
        if (item.quantity.metric, item.quantity.pairing) == (metric, pairing):
            return item
    return None


def diverse(candidate: Candidate, least: float) -> Verdict:
    """LPIPS among fakes is at least the share ``least`` of LPIPS among reals: a collapsed generator has nearly 0."""
    among = _find(candidate.measurements, "lpips", "fake_fake")
    if among is None:
        return verdict("diverse", False, "no LPIPS between fakes was measured")
    if among.reference is None:
        return verdict("diverse", False, f"{among.key} has no reference")
    share = among.value / among.reference if among.reference else math.inf
    return verdict("diverse", share >= least, f"{among.key} is {share:.2f} of real images'; at least {least:g}")


def not_memorised(measurements: Iterable[Measurement], held_out: str = VALIDATION) -> Verdict:
    """KID does not favour the train reals: a generator that copies them is far nearer to them than to held-out ones.

    Train and held-out reals, ``validation`` or ``test``, differ by themselves; that distance is the reference of KID
    against the latter. The gate fails when KID against them exceeds KID against train by more than the reference, with
    both intervals' nearer ends.
    """
    given = tuple(measurements)
    train, other = (_find(given, "kid", pairing) for pairing in (TRAIN, held_out))
    if train is None or other is None or train.high is None or other.low is None or other.reference is None:
        why = f"KID against {held_out} reals lacks a value, an interval or a reference"
        return Verdict("not memorised", Outcome.NOT_CHECKED, why)
    gap = other.low - train.high - max(other.reference, 0.0)
    limit = "KID against train and their reference"
    how = f"exceeds {limit} by {number(gap)}" if gap > 0 else f"does not exceed {limit}"
    why = f"KID against {held_out} {how}"
    return verdict("not memorised", gap <= 0, why)


def judged(result: WinnerResult) -> WinnerResult:
    """The result with the verdict on whether the winner favours the train images; unchanged where it has no figure."""
    if result.unmeasured is not None:
        return result
    return dataclasses.replace(result, verdict=not_memorised(result.measurements, "test"))


def measured_anew(outcome: Outcome | None, summary: str) -> Verdict:
    """A version was measured anew on test images; None where nobody tried. ``summary`` says what came of it."""
    name = "measured anew"
    if outcome is None:
        return Verdict(name, Outcome.NOT_CHECKED, "it carries no figure on test images; run the pipeline again")
    return Verdict(name, outcome, summary)


def audited(outcome: Outcome | None, summary: str) -> Verdict:
    """The audit of a version's synthetic images passed; None where there was none. ``summary`` says what it came to."""
    if outcome is None:
        return Verdict("audited", Outcome.REFUSED, "its images were not audited for copies of training images")
    return verdict("audited", outcome is Outcome.PASSED, f"the audit {summary}")


def as_released(audited: Verdict, *, for_release: bool) -> Verdict:
    """``audited`` beside a champion that passed every check: refused where the challenger was not asked for all."""
    if for_release:
        return audited
    return verdict(audited.gate, False, f"{audited.why}; the champion passed every check; audit this one as strictly")


def better_than(contest: Contest) -> Verdict:
    """Whether the version may follow that champion: its KID is lower by more than the margin, beyond doubt.

    The one-sided upper end of the difference must lie below the margin's negative. No cost counts: a version that is
    as good and was cheaper to train replaces nobody, for whoever is as good may be worse by what is not seen.
    """
    name = f"better than version {contest.incumbent}"
    if contest.upper is None or contest.quantity is None:
        return Verdict(name, Outcome.NOT_CHECKED, contest.reason or "the difference has no upper end")
    incumbent = f"{number(contest.incumbent_value)} of champion version {contest.incumbent}"
    figures = f"{contest.quantity.key} {number(contest.value)} against {incumbent}"
    basis = f"{contest.images} held-out images of {contest.patients} patients"
    end = f"difference {number(contest.difference)}, upper end {number(contest.upper)} at {contest.confidence:.4g}"
    why = f"{figures} on {basis}: {end}, to lie below {0 - contest.margin:g}"
    return verdict(name, contest.upper < -contest.margin, why)


def not_passed(verdicts: Iterable[Verdict]) -> str:
    """The gates that refused or could not be asked, in one line; empty when all passed."""
    failed = (item for item in verdicts if item.outcome is not Outcome.PASSED)
    return "; ".join(f"{item.gate}: {'not checked: ' * (not item.refuses)}{item.why}" for item in failed)


def failures(verdicts: Iterable[Verdict]) -> str:
    """The failed gates in one line; empty when none refused."""
    return "; ".join(f"{item.gate}: {item.why}" for item in verdicts if item.refuses)
