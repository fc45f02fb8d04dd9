"""Whether the synthetic images help: a family of one-sided tests, Holm's correction, and what could have been found.

They help only where they are better than oversampling *and*, with augmentation, than augmentation alone; they harm only
where they are worse in both. Both directions are tested at the level 1 - confidence, each with Holm's correction (1979,
Scandinavian Journal of Statistics 6) over the tests of the family. Where neither is shown, the smallest effect is said
that the study would have found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mammogan.results import Benefit, Finding, UtilityTest
from mammogan.statistics import Floats, holm, one_sided, total_variance
from mammogan.utility import delong
from mammogan.utility.arms import DECIDING
from mammogan.utility.comparison import difference_estimate, difference_variances
from mammogan.utility.delong import Components
from mammogan.utility.held_out import HeldOut

POWER = 0.8
SIMULATED = 10_000
"""Studies that are simulated for the power; its Monte-Carlo error is 0.004."""


@dataclass(frozen=True)
class Conclusion:
    """What the family of tests comes to."""

    finding: Benefit
    tests: tuple[UtilityTest, ...]
    smallest_effect: float | None
    """Difference of AUC that, true of each test, would have been found in all of them with power ``POWER``; None where
    the arms do not differ at all, which says nothing of other effects."""


def conclude(scores: Mapping[str, Floats], test: HeldOut, confidence: float) -> Conclusion:
    """Test every arm of ``DECIDING`` against its control, from scores (S, T) of S >= 2 blocks by arm."""
    aucs = {name: delong.components(scores[name], test) for pair in DECIDING for name in pair}
    differences = [aucs[arm] - aucs[control] for arm, control in DECIDING]
    parts = [difference_variances(difference) for difference in differences]
    tails = [one_sided(difference.value, each) for difference, each in zip(differences, parts, strict=True)]
    spreads = [total_variance(each) for each in parts]
    better, worse = holm([tail[0] for tail in tails]), holm([tail[1] for tail in tails])
    level = 1 - confidence
    tests = []
    for (arm, control), difference, gain, loss in zip(DECIDING, differences, better, worse, strict=True):
        interval = difference_estimate(difference, confidence)
        assert interval.low is not None and interval.high is not None  # noqa: PT018  (combine gives both or neither)
        finding = Finding.BETTER if gain <= level else Finding.WORSE if loss <= level else Finding.NO_DIFFERENCE
        tests.append(
            UtilityTest(arm, control, interval.value, interval.low, interval.high, confidence, gain, loss, finding)
        )
    smallest = smallest_effect(
        np.array([math.sqrt(variance) for variance, _ in spreads]),
        np.array([freedom for _, freedom in spreads]),
        _correlation(differences, spreads),
        level,
    )
    return Conclusion(_finding(tests), tuple(tests), smallest)


def _finding(tests: Sequence[UtilityTest]) -> Benefit:
    findings = {test.finding for test in tests}
    return {frozenset({Finding.BETTER}): Benefit.HELPS, frozenset({Finding.WORSE}): Benefit.HARMS}.get(
        frozenset(findings), Benefit.NO_DIFFERENCE
    )


def _correlation(differences: Sequence[Components], spreads: Sequence[tuple[float, float]]) -> Floats:
    """Correlations (K, K) of the estimated differences, which share test images and blocks."""
    errors = [math.sqrt(variance) for variance, _ in spreads]
    correlation = np.eye(len(errors))
    for one in range(len(errors)):
        for other in range(one):
            product = errors[one] * errors[other]
            shared = delong.covariance(differences[one], differences[other])
            correlation[one, other] = correlation[other, one] = (
                min(max(shared / product, -0.99), 0.99) if product > 0 else 0.0
            )
    return correlation


def smallest_effect(
    errors: Floats, freedom: Floats, correlation: Floats, level: float, power: float = POWER
) -> float | None:
    """Effect in (0, 1], the same in each test, at which all are significant with the given power; None without errors.

    ``errors`` (K,) are the estimates' standard errors, ``freedom`` (K,) their degrees of freedom, ``correlation``
    (K, K) that of the estimates. Studies are simulated, the same ones for every effect, so that the answer depends on
    its arguments alone.
    """
    from scipy.special import stdtrit

    if not errors.all():
        return None
    rng = np.random.default_rng(0)
    count = len(errors)
    noise = rng.multivariate_normal(np.zeros(count), correlation, SIMULATED, method="eigh")
    spread = np.sqrt(rng.chisquare(freedom, (SIMULATED, count)) / freedom)
    # by Holm all are significant where at most r of them miss the threshold of level / (r + 1), for every r
    needed = np.zeros(SIMULATED)
    for rank in range(count):
        reaching = np.sort((stdtrit(freedom, 1 - level / (rank + 1)) * spread - noise) * errors, axis=1)
        needed = np.maximum(needed, reaching[:, count - 1 - rank])
    return min(float(np.quantile(needed, power, method="inverted_cdf")), 1.0)
