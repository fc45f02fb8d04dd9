"""The finding in a sentence, with what it rests on: a negative one is said as plainly as a positive one."""

from __future__ import annotations

from collections.abc import Sequence

from mammogan.results import Benefit, UtilityArm, UtilityCounts, UtilityTest
from mammogan.utility.arms import AUGMENTED, OVERSAMPLED
from mammogan.utility.decision import POWER, Conclusion

ENOUGH = 100
"""Patients of each class that a test set should have (Vergouwe et al. 2005, Journal of Clinical Epidemiology 58)."""
LEADS = {
    Benefit.HELPS: "The synthetic images help",
    Benefit.HARMS: "The synthetic images harm",
    Benefit.NO_DIFFERENCE: "Adding synthetic images made no significant difference",
}
CONTROLS = {OVERSAMPLED: "against oversampling", AUGMENTED: "with augmentation against augmentation alone"}


def sentence(conclusion: Conclusion, counts: UtilityCounts, arms: Sequence[UtilityArm], blocks: int) -> str:
    """One line without a full stop at its end."""
    parts = [
        f"{LEADS[conclusion.finding]}: AUC {' and '.join(_test(test, conclusion.finding) for test in conclusion.tests)}"
    ]
    if conclusion.finding is Benefit.NO_DIFFERENCE and conclusion.smallest_effect is not None:
        parts.append(
            f"an effect of {conclusion.smallest_effect:.3f} in both would be found in {POWER:.0%} of such studies"
        )
    parts.append(
        f"tested on {counts.test} images, {counts.benign} benign of {counts.benign_patients} and {counts.malignant} "
        f"malignant of {counts.malignant_patients} patients"
    )
    if min(counts.benign_patients, counts.malignant_patients) < ENOUGH:
        parts.append(f"a small test set, with fewer than {ENOUGH} patients of a class")
    if counts.synthetic_sets == 1:
        parts.append("one set of synthetic images, so that another draw from the generator may come out differently")
    if unfinished := sum(arm.unfinished for arm in arms):
        parts.append(f"{unfinished} of {blocks * len(arms)} trainings used up their steps before a plateau")
    return "; ".join(parts)


def _test(test: UtilityTest, finding: Benefit) -> str:
    p = {Benefit.HELPS: test.better, Benefit.HARMS: test.worse}.get(finding, min(test.better, test.worse))
    probability = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"{test.value:+.3f} ({test.low:+.3f} to {test.high:+.3f}, {probability}) {CONTROLS[test.control]}"
