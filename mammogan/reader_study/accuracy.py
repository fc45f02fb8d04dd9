"""Shares of right answers: exact intervals, the exact test against guessing, and what that test could find.

k right of n images, one a patient, are binomial: the interval is that of Clopper and Pearson (1934, Biometrika 26),
which holds the true share in at least the stated part of all studies; the test is the two-sided exact one of p = 1/2.
"""

from __future__ import annotations

from mammogan.reader_study.rate import Rate

GUESSING = 0.5
POWER = 0.8
"""Chance with which the smallest detectable share is found."""


def share(right: int, images: int, confidence: float) -> Rate:
    """Share of right answers of at least one image, with its exact interval."""
    from scipy.stats import binomtest

    ends = binomtest(right, images).proportion_ci(confidence, method="exact")
    return Rate(right / images, float(ends.low), float(ends.high))


def p_guessing(right: int, images: int) -> float:
    """Two-sided exact p-value of the share 1/2."""
    from scipy.stats import binomtest

    return float(binomtest(right, images, GUESSING).pvalue)


def detectable(images: int, confidence: float, power: float = POWER) -> float | None:
    """Smallest distance from 1/2 of a share that the exact test finds with the chance ``power``.

    At the level 1 - ``confidence`` the test refuses 1/2 from k right answers on, where P(X >= k | 1/2) is at most half
    of that; at the share p it does so with the chance I_p(k, n - k + 1), whose inverse is a quantile of the beta
    distribution. None where even all right would not be enough: for fewer than 6 images at 0.95.
    """
    from scipy.stats import beta, binom

    least = int(binom.isf((1 - confidence) / 2, images, GUESSING)) + 1
    return float(beta.ppf(power, least, images - least + 1)) - GUESSING if least <= images else None
