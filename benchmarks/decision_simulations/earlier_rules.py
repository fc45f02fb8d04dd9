"""The rules of commit 33e8329 that were replaced, as they stood there, for the column "before"."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from mammogan.metrics.fid import frechet_distance
from mammogan.results import AuditMeasure, Outcome, Verdict
from mammogan.statistics import Estimate, Floats, combine, jackknife
from mammogan.utility import delong
from mammogan.utility.comparison import difference_estimate
from mammogan.utility.held_out import HeldOut

HALVINGS = 5
MOST_NEARER = MOST_MEMBERSHIP = 0.6
MOST_MEMORISED = 0.005
CHECKS = ("memorised", "repeated", "nearer", "membership")
"""Of the audit, in each space."""


def is_promoted(new: Estimate, old: Estimate, new_cost: float, old_cost: float) -> bool:
    """``gates.better_than``: lower where the intervals are apart, cheaper where they overlap."""
    assert None not in (new.low, new.high, old.low, old.high)
    if new.high < old.low or old.high < new.low:
        return new.value < old.value
    return new_cost < old_cost


def lambdas_found_worse(cells: Mapping[tuple[float, int], float], confidence: float = 0.95) -> set[tuple[float, float]]:
    """Pairs (better, worse) by ``compare_lambdas``: paired t intervals at Bonferroni's level."""
    lambdas = sorted({gp_lambda for gp_lambda, _ in cells})
    couples = list(itertools.combinations(lambdas, 2))
    level = 1 - (1 - confidence) / len(couples)
    worse = set()
    for one, other in couples:
        seeds = [seed for gp_lambda, seed in cells if gp_lambda == one and (other, seed) in cells]
        values = np.array([cells[one, seed] - cells[other, seed] for seed in seeds])
        if len(values) < 2:
            continue
        mean = float(values.mean())
        _, low, high = combine(mean, [jackknife(mean, (values.sum() - values) / (len(values) - 1))], level)
        if high is not None and high < 0:
            worse.add((one, other))
        if low is not None and low > 0:
            worse.add((other, one))
    return worse


def fid_reference(features: Floats, seed: int) -> float:
    """``_halves_reference``: mean of 5 halvings, read as it is."""
    half, rng = len(features) // 2, np.random.default_rng(seed)
    orders = [rng.permutation(len(features)) for _ in range(HALVINGS)]
    return float(np.mean([frechet_distance(features[order[:half]], features[order[half:]]) for order in orders]))


def says_images_help(synthetic: Floats, real: Floats, test: HeldOut, confidence: float = 0.95) -> bool:
    """Whether the scores (S, T) with synthetic images beat those with real images alone, by one unadjusted interval."""
    low = difference_estimate(delong.components(synthetic, test) - delong.components(real, test), confidence).low
    return low is not None and low > 0


def audit_outcome(verdicts: Iterable[Verdict]) -> Outcome:
    """``results.combined``: refused by one check, passed where any was made."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.REFUSED in outcomes:
        return Outcome.REFUSED
    return Outcome.PASSED if Outcome.PASSED in outcomes else Outcome.NOT_CHECKED


def check_outcome(measure: AuditMeasure) -> Outcome:
    """``inspection._verdict``: refused where the whole interval lies above the limit, else passed."""
    limits = {"nearer": MOST_NEARER, "membership": MOST_MEMBERSHIP,
              "memorised": max(MOST_MEMORISED, measure.reference or 0.0)}  # fmt: skip
    return Outcome.REFUSED if measure.low > limits.get(measure.statistic, measure.limit) else Outcome.PASSED
