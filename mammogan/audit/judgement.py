"""What a number of the audit decides: a check passes where the upper end of its interval is within the limit.

It is *made* only where the sample is large enough to show that of a generator that copies nothing, of the comparisons
of train with held-out patients with a chance of 9 in 10: a small one would pass by luck. Where the whole interval lies
above the limit it is refused. So is, where it was made, a share that did not pass, because without copying nothing is
found, and a comparison whose value is above the limit, because without copying that is unlikely. Else it was not
checked, and it says what it would take: of a comparison, whose interval narrows with the root of the number of
patients, what its value needs, and at least what the value without copying would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mammogan.audit import copies, membership
from mammogan.config import AuditCheck
from mammogan.results import AuditMeasure, Outcome, Verdict
from mammogan.statistics import Estimate

IMAGES, PATIENTS = "images", "held-out patients"
WITHOUT_COPYING = 0.5
"""Of a share or an AUC that compares train with held-out."""
CHANCE = 1.65
"""Half-widths of a 95% interval within which 9 of 10 upper ends lie: (1.96 + 1.28) / 1.96."""
NORMAL_95 = 1.96
MOST_DOUBLINGS = 8


@dataclass(frozen=True)
class Sample:
    """What took part in a measure."""

    train: int
    held_out: int
    fake: int
    train_patients: int
    held_out_patients: int
    confidence: float


@dataclass(frozen=True)
class Subject:
    """What a measure is of."""

    check: AuditCheck
    statistic: str
    """As people read it."""
    space: str
    """The network or the kind of distance, as MLflow has it."""
    meaning: str
    judges: bool = True
    """Whether it decides; what a random network sees does not."""
    per_space: bool = False
    """Whether the statistic is measured in several spaces."""

    @property
    def gate(self) -> str:
        """What the check is called in a verdict."""
        return f"{self.statistic} ({self.space})" if self.per_space else self.statistic


def share(
    subject: Subject, estimate: Estimate, limit: float, sample: Sample, reference: Estimate | None = None
) -> AuditMeasure:
    """Measure of a share of the synthetic images, 0 without copying; ``limit`` in (0, 1]."""
    needed = copies.images_needed(limit, sample.confidence)
    outcome = _outcome(estimate, limit, sufficient=sample.fake >= needed, suspect=ends(estimate)[1] > limit)
    return _measure(subject, estimate, limit, sample, outcome, needed, IMAGES, reference)


def auc(subject: Subject, estimate: Estimate, limit: float, sample: Sample) -> AuditMeasure:
    """Measure of an attack's AUC by patient, 0.5 without a leak; ``limit`` in (0.5, 1].

    Without a leak its variance is (n + h + 1) / (12 n h) for n train and h held-out patients (Mann and Whitney 1947).
    """
    ratio = sample.train_patients / sample.held_out_patients
    widths = CHANCE * NORMAL_95 / (limit - WITHOUT_COPYING)
    return _compared(subject, estimate, limit, sample, math.ceil((1 + 1 / ratio) / 12 * widths**2))


def nearness(subject: Subject, estimate: Estimate, limit: float, sample: Sample) -> AuditMeasure:
    """Measure of nearness to train, 0.5 without copying, whose interval is its spread there; ``limit`` in (0.5, 1]."""
    widths = CHANCE * (ends(estimate)[1] - estimate.value) / (limit - WITHOUT_COPYING)
    return _compared(subject, estimate, limit, sample, math.ceil(sample.held_out_patients * widths**2))


def attack(subject: Subject, estimate: Estimate, limit: float, sample: Sample) -> AuditMeasure:
    """Measure of the train patients whom an attacker finds at 1% false positives; ``limit`` in (0, 1]."""
    return _compared(subject, estimate, limit, sample, _patients_needed(sample, limit))


def _compared(subject: Subject, estimate: Estimate, limit: float, sample: Sample, least: int) -> AuditMeasure:
    """Measure by patients, of whom ``least`` held-out ones would do without copying."""
    patients, margin = sample.held_out_patients, limit - estimate.value
    outcome = _outcome(estimate, limit, sufficient=patients >= least, suspect=margin < 0)
    own = math.ceil(patients * ((ends(estimate)[1] - estimate.value) / margin) ** 2) if margin > 0 else 0
    return _measure(subject, estimate, limit, sample, outcome, max(least, own), PATIENTS)


def _patients_needed(sample: Sample, limit: float) -> int:
    """Held-out patients, with as many more train patients, of whom a harmless attack ends within the limit."""
    train, held_out = sample.train_patients, sample.held_out_patients
    for _ in range(2 * MOST_DOUBLINGS):
        if membership.innocent_high(train, held_out, sample.confidence) <= limit:
            break
        train, held_out = math.ceil(train * math.sqrt(2)), math.ceil(held_out * math.sqrt(2))
    return held_out


def ends(estimate: Estimate) -> tuple[float, float]:
    """Both ends of an interval that is known."""
    assert estimate.low is not None and estimate.high is not None  # noqa: PT018  (rates and AUCs have intervals)
    return estimate.low, estimate.high


def _measure(
    subject: Subject, estimate: Estimate, limit: float, sample: Sample, outcome: Outcome, needed: int, unit: str,
    reference: Estimate | None = None,
) -> AuditMeasure:  # fmt: skip
    low, high = ends(estimate)
    given = sample.fake if unit == IMAGES else sample.held_out_patients
    lacking = subject.judges and outcome is Outcome.NOT_CHECKED
    return AuditMeasure(
        check=subject.check,
        statistic=subject.statistic,
        space=subject.space,
        meaning=subject.meaning,
        value=estimate.value,
        low=low,
        high=high,
        reference=reference.value if reference else None,
        limit=limit,
        outcome=outcome if subject.judges else Outcome.NOT_CHECKED,
        needed=needed if lacking and needed > given else None,
        unit=unit,
        given=given,
        n_train=sample.train,
        n_held_out=sample.held_out,
        n_fake=sample.fake,
        confidence=sample.confidence,
    )


def _outcome(estimate: Estimate, limit: float, *, sufficient: bool, suspect: bool) -> Outcome:
    low, high = ends(estimate)
    if low > limit or (sufficient and suspect):
        return Outcome.REFUSED
    return Outcome.PASSED if sufficient and high <= limit else Outcome.NOT_CHECKED


def verdict(subject: Subject, measure: AuditMeasure) -> Verdict:
    """The check's verdict, with its numbers."""
    if not subject.judges:
        why = f"{measure.value:.3g} in a random network's features, which do not judge"
        return Verdict(subject.gate, Outcome.NOT_CHECKED, why, measure.check)
    interval = f"{measure.value:.3g} ({measure.low:.3g} to {measure.high:.3g})"
    base = f", {measure.reference:.3g} among real images" if measure.reference is not None else ""
    why = f"{measure.meaning}: {interval}{base}; at most {measure.limit:.3g}"
    if measure.needed is not None:
        why += f", which takes at least {measure.needed} {measure.unit} to show; there are {measure.given}"
    elif measure.high > measure.limit >= measure.low:
        why += ", and the interval ends above it"
    return Verdict(subject.gate, measure.outcome, why, measure.check)


def lacking_data(subject: Subject, why: str) -> Verdict:
    """Verdict of a check that could not be made."""
    return Verdict(subject.gate, Outcome.NOT_CHECKED, why, subject.check)
