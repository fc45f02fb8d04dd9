"""Membership inference: how well a score tells train patients from held-out ones.

Two attackers. One has only the synthetic images and scores a real image by its nearness to the nearest of them (Chen et
al. 2020, GAN-Leaks, the full black-box attack). The other has the critic, whose output is higher for what it was
trained on (Hayes et al. 2019, LOGAN, the white-box attack). One patient is one member, whose score is the mean over the
patient's images. AUC is the chance that a train patient scores above a held-out one: 0.5 gives nothing away. It hides
an attack that is sure of a few, so beside it stands the share of the train patients found at 1% false positives
(Carlini et al. 2022, "Membership inference attacks from first principles", section III): 0.01 gives nothing away. Of
fewer than 100 held-out patients 1% is none, so the threshold is the largest held-out score and k false positives of h
patients stand for (k + 1) / (h + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from mammogan.statistics import Estimate, Floats, Ints, Variance, combine_within, jackknife, numbered

FALSE_POSITIVES = 0.01
DRAWS = 500
"""Bootstrap draws of patients."""
INNOCENT_DRAWS = 100
"""Simulated audits of a generator that leaks nothing."""
SEED = 0
TAIL = 40
"""Largest held-out scores among which a bootstrap draw finds its threshold: e^-40 misses it."""


def auc(members: Floats, others: Floats) -> float:
    """Mann-Whitney: the chance that one of ``members`` (n,) scores above one of ``others`` (h,); ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    return float((ranks.sum() / len(members) - (len(members) + 1) / 2) / len(others))


def auc_estimate(
    members: Floats, others: Floats, member_blocks: Sequence[Ints], other_blocks: Sequence[Ints], confidence: float
) -> Estimate:
    """AUC with the jackknife over blocks of patients on either side; its interval stays in [0, 1]."""
    value = auc(members, others)
    parts: list[Variance] = []
    for blocks, member in ((member_blocks, True), (other_blocks, False)):
        without = [
            auc(np.delete(members, block), others) if member else auc(members, np.delete(others, block))
            for block in blocks
        ]
        parts.append(jackknife(value, np.array(without), np.array([len(block) for block in blocks])))
    return combine_within(value, parts, confidence, count=min(len(member_blocks), len(other_blocks)))


def by_patient(scores: Floats, patients: Sequence[str]) -> Floats:
    """Mean score (P,) of each patient, in the order in which they appear, of the images' scores (N,)."""
    index = numbered(patients)
    return np.bincount(index, weights=scores) / np.bincount(index)


def true_positives(members: Floats, others: Floats, confidence: float) -> Estimate:
    """Share of ``members`` (n,) above the threshold that 1% of ``others`` (h,) exceed, by patient.

    The interval is the wider one of the bootstrap's over patients of both sides and, for the threshold as it is, of
    Clopper and Pearson's, because a bootstrap of no hits has no width.
    """
    from mammogan.audit.copies import clopper_pearson

    above = _above(members, others)
    rank = _rank(len(others))
    hits, count = int(above[rank - 1]), len(members)
    exact = clopper_pearson(hits, count, confidence)
    low, high = _bootstrap(above, count, len(others), confidence)
    return Estimate(hits / count, min(low, _end(exact.low)), max(high, _end(exact.high)))


def _end(end: float | None) -> float:
    assert end is not None, "a rate has an interval"
    return end


def _rank(others: int) -> int:
    """Rank from the top of the held-out score that is the threshold."""
    return int(FALSE_POSITIVES * others) + 1


def _above(members: Floats, others: Floats) -> Ints:
    """Members above the held-out score of rank 1, 2, ... from the top: (min(h, 1% + 40),)."""
    top = np.sort(others)[::-1][: _rank(len(others)) + TAIL]
    return len(members) - np.searchsorted(np.sort(members), top, side="right")


def _bootstrap(above: Ints, members: int, others: int, confidence: float) -> tuple[float, float]:
    """Ends of the percentile bootstrap over the patients of both sides.

    A draw of h held-out patients takes the j-th largest as often as a multinomial variable says, and its threshold is
    the first with which the wanted rank is reached; the members above that one are a binomial draw.
    """
    rng = np.random.default_rng(SEED)
    shares = np.full(len(above) + 1, 1 / others)
    shares[-1] = max(0.0, 1 - len(above) / others)
    taken = rng.multinomial(others, shares, size=DRAWS)[:, :-1].cumsum(axis=1)
    first = np.minimum((taken < _rank(others)).sum(axis=1), len(above) - 1)
    rates = rng.binomial(members, above[first] / members) / members
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@cache
def innocent_high(members: int, others: int, confidence: float) -> float:
    """Upper end that 9 of 10 audits of so many patients do not exceed where nothing leaks, simulated."""
    rng = np.random.default_rng(SEED)
    ends = [
        _end(true_positives(rng.random(members), rng.random(others), confidence).high) for _ in range(INNOCENT_DRAWS)
    ]
    return float(np.quantile(ends, 0.9))
