"""Is one gradient-penalty weight better than another? Paired differences of a metric with their intervals.

The unit is a training run: lambdas are paired by seed, and a run's figure is the mean over its snapshots of the later
half, where the paper's curves are flat. Intervals are Student-t at a level that holds for all pairs of lambdas
together (Bonferroni). One seed is not enough to tell lambdas apart, whatever its snapshots show: their interval, paired
by epoch, knows the noise from snapshot to snapshot and nothing of that from seed to seed, so it never decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mammogan.config import SelectConfig
from mammogan.records import RunRecord
from mammogan.results import Evaluation, Finding, LambdaComparison, TrialStatus
from mammogan.statistics import combine, jackknife

Scores = Mapping[tuple[float, int], Mapping[int, float]]
"""(lambda, seed) to epoch to score, less being better."""


def compare_lambdas(
    evaluations: Sequence[Evaluation], metric: str, pairing: str, confidence: float = 0.95
) -> list[LambdaComparison]:
    """A comparison for each pair of lambdas among evaluations.

    The difference is one minus other of the score, where less is better: the value, the value negated where higher is
    better, or the distance to the reference. With two or more seeds in common, pairs are by seed and one lambda is
    better, or there is no significant difference. With one seed the interval is that of its snapshots, paired by
    epoch, and never decides. Raises ValueError where fewer than two lambdas have the metric, or measurements of it
    follow different protocols.
    """
    scores = _scores(evaluations, metric, pairing)
    lambdas = sorted({gp_lambda for gp_lambda, _ in scores})
    if len(lambdas) < 2:
        raise ValueError(f"metric={metric!r}, pairing={pairing!r}: {len(lambdas)} lambdas have it; compare at least 2")
    couples = list(itertools.combinations(lambdas, 2))
    level = 1 - (1 - confidence) / len(couples)
    return [_compare(scores, Couple(one, other), metric, pairing, level) for one, other in couples]


def compare_trials(evaluations: Sequence[Evaluation], settings: SelectConfig) -> list[LambdaComparison]:
    """``compare_lambdas`` by the first deciding metric of the settings; empty where fewer than two lambdas have it."""
    metric = settings.metrics.split(",")[0]
    finished = [item for item in evaluations if item.status is TrialStatus.FINISHED]
    measured = [item for item in finished if item.of(metric, settings.against)]
    if len({item.gp_lambda for item in measured}) < 2:
        return []
    return compare_lambdas(measured, metric, settings.against)


def compare_run(record: RunRecord) -> Sequence[LambdaComparison]:
    """The comparison that the run's decision stands on; made anew where the run ended before a decision."""
    if record.decision:
        return record.decision.comparisons
    settings = record.config.select if record.config else SelectConfig()
    return compare_trials([item.evaluation for item in record.trials if item.evaluation], settings)


def describe(comparisons: Sequence[LambdaComparison], gp_lambda: float) -> str:
    """In a clause, what the comparisons say of one lambda against the others; differences are its own minus theirs."""
    groups: dict[str, list[str]] = {}
    for item in comparisons:
        if gp_lambda in (item.one, item.other):
            phrase = _phrase(item, f"lambda={gp_lambda:g}", gp_lambda)
            groups.setdefault(phrase, []).append(_other(item, gp_lambda))
    clauses = (phrase.format(" and ".join(others)) for phrase, others in groups.items())
    return "; ".join(clauses) or "there is no other lambda to compare with"


def sentence(comparison: LambdaComparison) -> str:
    """One comparison in words."""
    return describe([comparison], comparison.one)


def run_figures(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> dict[float, dict[int, float]]:
    """Lambda to seed to the score of that run, the mean over the later half of its snapshots.

    Raises ValueError where measurements of the metric follow different protocols.
    """
    figures: dict[float, dict[int, float]] = {}
    for (gp_lambda, seed), scores in _scores(evaluations, metric, pairing).items():
        figures.setdefault(gp_lambda, {})[seed] = float(np.mean(list(scores.values())))
    return figures


def _scores(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> Scores:
    """Only the later half of a run's epochs."""
    scores: dict[tuple[float, int], dict[int, float]] = {}
    protocols = set()
    for item in evaluations:
        measurements = item.of(metric, pairing)
        later = max((measurement.epoch or 0 for measurement in measurements), default=0) / 2
        chosen = {
            measurement.epoch: measurement.score
            for measurement in measurements
            if measurement.epoch is not None and measurement.epoch >= later
        }
        protocols |= {(measurement.key, measurement.n_real, measurement.n_fake) for measurement in measurements}
        if chosen:
            scores[item.gp_lambda, item.seed] = chosen
    if len(protocols) > 1:
        raise ValueError(f"metric={metric!r}: different protocols {sorted(protocols)}; evaluate all trials alike")
    return scores


@dataclass(frozen=True)
class Couple:
    """Two gradient-penalty weights."""

    one: float
    other: float


def _compare(scores: Scores, couple: Couple, metric: str, pairing: str, level: float) -> LambdaComparison:
    one, other = couple.one, couple.other
    seeds = sorted({seed for gp_lambda, seed in scores if gp_lambda == one and (other, seed) in scores})
    runs = [(scores[one, seed], scores[other, seed]) for seed in seeds]
    if len(runs) == 1:
        a, b = runs[0]
        differences = [a[epoch] - b[epoch] for epoch in sorted(a.keys() & b.keys())]
    else:
        differences = [float(np.mean(list(a.values())) - np.mean(list(b.values()))) for a, b in runs]
    mean, low, high = _mean_with_interval(np.array(differences), level)
    return LambdaComparison(
        metric=metric,
        pairing=pairing,
        one=one,
        other=other,
        difference=mean,
        low=low,
        high=high,
        confidence=level,
        pairs=len(differences),
        paired_by="epoch" if len(seeds) == 1 else "seed",
        seeds=len(seeds),
        finding=_finding(len(seeds), low, high),
    )


def _finding(seeds: int, low: float | None, high: float | None) -> Finding:
    if seeds < 2:
        return Finding.ONE_SEED if seeds else Finding.NO_SEED
    if low is None or high is None or low <= 0 <= high:
        return Finding.NO_DIFFERENCE
    return Finding.BETTER if high < 0 else Finding.WORSE


def _mean_with_interval(values: np.ndarray, confidence: float) -> tuple[float | None, float | None, float | None]:
    if len(values) < 2:
        return (float(values[0]) if len(values) else None), None, None
    mean = float(values.mean())
    without = (values.sum() - values) / (len(values) - 1)
    return combine(mean, [jackknife(mean, without)], confidence)


def _phrase(item: LambdaComparison, own: str, gp_lambda: float) -> str:
    """The clause, ``{}`` in place of the others."""
    if item.better is not None:
        return f"{own} is {'better' if item.better == gp_lambda else 'worse'} than {{}}"
    return {
        Finding.NO_DIFFERENCE: f"no significant difference between {own} and {{}}",
        Finding.ONE_SEED: f"one seed is not enough to tell {own} from {{}}",
        Finding.NO_SEED: f"{own} has no seed in common with {{}}",
    }[item.finding]


def _other(item: LambdaComparison, gp_lambda: float) -> str:
    """The other lambda, with the difference where seeds decide."""
    sign, other = (1, item.other) if gp_lambda == item.one else (-1, item.one)
    name = f"lambda={other:g}"
    if item.paired_by != "seed" or item.low is None or item.high is None or item.difference is None:
        return name
    low, high = sorted((sign * item.low, sign * item.high))
    return f"{name} (difference {sign * item.difference:.4g} [{low:.4g}, {high:.4g}] over {item.seeds} seeds)"
