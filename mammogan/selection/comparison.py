"""Is one gradient-penalty weight better than another? Differences of a metric in blocks by seed, all pairs at once.

The unit is a training run, and a run's figure is the mean over its snapshots of the later half, where the paper's
curves are flat, at epochs that every run has: the last one is the smallest last epoch, so that a run which stopped
early is compared with what the others were by then. Lambdas are levels and seeds blocks (``blocks``): the residual
variance is pooled over all lambdas, runs that failed are left out of the least-squares fit, and intervals are Tukey's.

A lambda with one seed leaves no residual, so that nothing is known of how its runs vary: one seed is not enough to tell
it from another, whatever its snapshots show.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mammogan.config import SelectConfig, Trial, lambda_text
from mammogan.numbers import Point, estimate, number
from mammogan.records import RunRecord
from mammogan.results import BlockDesign, Evaluation, Finding, LambdaComparison, TrialStatus
from mammogan.selection import blocks
from mammogan.selection.blocks import BlockFit
from mammogan.selection.pairing import ranking_pairing

Scores = Mapping[tuple[float, int], Mapping[int, float]]
"""(lambda, seed) to epoch to score, less being better."""


@dataclass(frozen=True)
class EqualEpochs:
    """Figures of all runs over the same epochs."""

    figures: Mapping[tuple[float, int], float]
    """(lambda, seed) to the mean score; empty where no epoch is common to all runs."""
    epochs: tuple[int, ...]
    """Of the snapshots that it is the mean of, ascending."""
    shortest: str
    """Run that ended at the last of them while others went on; empty where all have the same last epoch."""


def compare_lambdas(
    evaluations: Sequence[Evaluation], metric: str, pairing: str, confidence: float = 0.95
) -> list[LambdaComparison]:
    """A comparison for each pair of lambdas among evaluations.

    The difference is one minus other of the score, where less is better: the value, the value negated where higher is
    better, or the distance to the reference. Two lambdas with two or more seeds each come out as one better than the
    other, or with no significant difference; ``confidence`` is that of all pairs together. Raises ValueError where
    fewer than two lambdas have the metric, or measurements of it follow different protocols.
    """
    scores = _scores(evaluations, metric, pairing)
    lambdas = sorted({gp_lambda for gp_lambda, _ in scores})
    if len(lambdas) < 2:
        raise ValueError(f"metric={metric!r}, pairing={pairing!r}: {len(lambdas)} lambdas have it; compare at least 2")
    equal = _at_equal_epochs(scores)
    seeds = {gp_lambda: {seed for level, seed in scores if level == gp_lambda} for gp_lambda in lambdas}
    repeated = [gp_lambda for gp_lambda in lambdas if len(seeds[gp_lambda]) > 1]
    fitted = blocks.fit(equal.figures) if equal.figures else None
    design = BlockDesign(
        metric=metric,
        pairing=pairing,
        lambdas=len(repeated),
        seeds=len(set().union(*(seeds[gp_lambda] for gp_lambda in repeated))),
        runs=sum(len(seeds[gp_lambda]) for gp_lambda in repeated),
        first_epoch=equal.epochs[0] if equal.epochs else None,
        last_epoch=equal.epochs[-1] if equal.epochs else None,
        shortest=equal.shortest,
        confidence=confidence,
        power=blocks.POWER,
        residual_sd=fitted.residual_sd if fitted else None,
        freedom=fitted.freedom if fitted else 0,
    )
    return [
        _compare(one, other, len(seeds[one] & seeds[other]), {one, other} <= set(repeated), fitted, design)
        for one, other in itertools.combinations(lambdas, 2)
    ]


def compare_trials(evaluations: Sequence[Evaluation], settings: SelectConfig) -> list[LambdaComparison]:
    """``compare_lambdas`` by the first deciding metric and the reals that rank the snapshots.

    Empty where fewer than two lambdas have it.
    """
    metric = settings.metrics.split(",")[0]
    finished = [item for item in evaluations if item.status is TrialStatus.FINISHED]
    against, _ = ranking_pairing(finished, settings)
    measured = [item for item in finished if item.of(metric, against)]
    if len({item.gp_lambda for item in measured}) < 2:
        return []
    return compare_lambdas(measured, metric, against)


def compare_run(record: RunRecord) -> Sequence[LambdaComparison]:
    """The comparison that the run's decision stands on; made anew where the run ended before a decision."""
    if record.decision:
        return record.decision.comparisons
    settings = record.config.select if record.config else SelectConfig()
    return compare_trials([item.evaluation for item in record.trials if item.evaluation], settings)


def run_figures(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> dict[float, dict[int, float]]:
    """Lambda to seed to the score of that run over the epochs that all runs have; empty where there are none.

    Raises ValueError where measurements of the metric follow different protocols.
    """
    figures: dict[float, dict[int, float]] = {}
    for (gp_lambda, seed), figure in _at_equal_epochs(_scores(evaluations, metric, pairing)).figures.items():
        figures.setdefault(gp_lambda, {})[seed] = figure
    return figures


def _scores(evaluations: Sequence[Evaluation], metric: str, pairing: str) -> Scores:
    scores: dict[tuple[float, int], dict[int, float]] = {}
    protocols = set()
    for item in evaluations:
        measurements = item.of(metric, pairing)
        chosen = {measured.epoch: measured.score for measured in measurements if measured.epoch is not None}
        protocols |= {(measured.key, measured.n_real, measured.n_fake) for measured in measurements}
        if chosen:
            scores[item.gp_lambda, item.seed] = chosen
    if len(protocols) > 1:
        raise ValueError(f"metric={metric!r}: different protocols {sorted(protocols)}; evaluate all trials alike")
    return scores


def _at_equal_epochs(scores: Scores) -> EqualEpochs:
    """Means over the later half of the epochs that all runs have."""
    common = set.intersection(*(set(run) for run in scores.values())) if scores else set()
    if not common:
        return EqualEpochs({}, (), "")
    epochs = tuple(sorted(epoch for epoch in common if epoch >= max(common) / 2))
    figures = {cell: float(np.mean([run[epoch] for epoch in epochs])) for cell, run in scores.items()}
    lasts = {cell: max(run) for cell, run in scores.items()}
    shortest = min(lasts, key=lambda cell: (lasts[cell], cell))
    ended = Trial(*shortest).name if len(set(lasts.values())) > 1 else ""
    return EqualEpochs(figures, epochs, ended)


def _compare(
    one: float, other: float, seeds: int, repeated: bool, fitted: BlockFit | None, design: BlockDesign
) -> LambdaComparison:
    """``repeated`` is whether both have two seeds or more."""
    difference = fitted.difference(one, other) if fitted else None
    error = fitted.standard_error(one, other) if fitted and difference is not None and repeated else None
    if fitted is None or difference is None or error is None or fitted.residual_sd is None:
        reason = Finding.NO_EPOCH if fitted is None else Finding.NO_SEED if difference is None else Finding.ONE_SEED
        return LambdaComparison(one, other, difference, None, None, seeds, None, None, reason, design)
    shape = design.confidence, design.lambdas
    half = blocks.critical(*shape, design.freedom) * error
    low, high = difference - half, difference + half
    return LambdaComparison(
        one=one,
        other=other,
        difference=difference,
        low=low,
        high=high,
        seeds=seeds,
        detectable=blocks.detectable(*shape, design.freedom) * error,
        seeds_needed=blocks.blocks_needed(difference, fitted.residual_sd, *shape),
        finding=Finding.NO_DIFFERENCE if low <= 0 <= high else Finding.BETTER if high < 0 else Finding.WORSE,
        design=design,
    )


CLAUSES = {
    Finding.BETTER: "{own} is better than {others}",
    Finding.WORSE: "{own} is worse than {others}",
    Finding.NO_DIFFERENCE: "no significant difference between {own} and {others}",
    Finding.ONE_SEED: "one seed is not enough to tell {own} from {others}",
    Finding.NO_SEED: "{own} has no seed in common with {others}",
    Finding.NO_EPOCH: "{own} has no epoch in common with {others}",
}


def describe(comparisons: Sequence[LambdaComparison], gp_lambda: float) -> str:
    """In a clause, what the comparisons say of one lambda against the others; differences are its own minus theirs."""
    own = f"lambda={lambda_text(gp_lambda)}"
    clauses = (
        CLAUSES[finding].format(own=own, others=" and ".join(_other(item, gp_lambda) for item in items))
        for finding, items in by_finding(comparisons, gp_lambda).items()
    )
    return "; ".join(clauses) or "there is no other lambda to compare with"


def by_finding(comparisons: Iterable[LambdaComparison], gp_lambda: float) -> dict[Finding, list[LambdaComparison]]:
    """The comparisons of one lambda, grouped by what they say of it, in their order."""
    groups: dict[Finding, list[LambdaComparison]] = {}
    for item in comparisons:
        if gp_lambda in (item.one, item.other):
            groups.setdefault(item.finding_of(gp_lambda), []).append(item)
    return groups


def sentence(comparison: LambdaComparison) -> str:
    """One comparison in words."""
    return describe([comparison], comparison.one)


def describe_design(design: BlockDesign) -> str:
    """In a sentence, the runs, the epochs and the residual variance that the comparisons rest on."""
    if design.last_epoch is None:
        return "no epoch was measured in every run"
    span = f"epochs {design.first_epoch} to {design.last_epoch}"
    if design.first_epoch == design.last_epoch:
        span = f"epoch {design.last_epoch}"
    if design.shortest:
        span += f", where {design.shortest} ended while others went on"
    if design.residual_sd is None:
        return f"{span}; too few seeds in common to know how runs vary"
    runs = f"{design.runs} runs of {design.lambdas} lambdas in blocks by {design.seeds} seeds"
    left_out = f", {design.missing} missing and left out of the least-squares fit" if design.missing else ""
    spread = f"pooled residual standard deviation {number(design.residual_sd)} ({design.freedom} degrees of freedom)"
    return f"{runs}{left_out}; {span}; {spread}; Tukey's intervals, {design.confidence:.0%} for all pairs together"


def _other(item: LambdaComparison, gp_lambda: float) -> str:
    """The other lambda, with the difference where seeds decide, and what the design could have found where not."""
    sign, name = 1 if gp_lambda == item.one else -1, f"lambda={lambda_text(item.counterpart(gp_lambda))}"
    if item.low is None or item.high is None or item.difference is None:
        return name
    low, high = sorted((sign * item.low, sign * item.high))
    difference = estimate(Point(sign * item.difference, low, high))
    shown = f"{name} (difference {difference} over {item.seeds} seeds"
    return f"{shown}, {_reach(item)})"


def _reach(item: LambdaComparison) -> str:
    """The smallest difference that could have been found; without a finding also the bound and the seeds it takes."""
    reach = f"smallest detectable {number(item.detectable)} at {item.design.power:.0%} power"
    if item.better is not None:
        return reach
    more = f"more than {blocks.MOST_BLOCKS}" if item.seeds_needed is None else f"{item.seeds_needed}"
    return f"equivalent within {number(item.bound)}, {reach}, one as observed needs {more} seeds"
