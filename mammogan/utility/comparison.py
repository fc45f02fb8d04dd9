"""Metrics of the arms' scores, and their differences from the arms' controls, paired by block and by image.

The value of an arm is the mean over its blocks. Two things are random: the block (the training's seed, its validation
patients, its synthetic images), and which patients are in the test set. Intervals hold both: of the AUC by
``delong``, of other metrics by the jackknife over blocks plus that over patients, less what both count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mammogan.results import Direction, UtilityEffect, UtilityMeasure
from mammogan.statistics import Estimate, Floats, Variance, at_least, combine, combine_within, jackknife
from mammogan.utility import delong
from mammogan.utility.arms import Arm
from mammogan.utility.delong import Components
from mammogan.utility.held_out import HeldOut

AUC = "auc"


@dataclass(frozen=True)
class Metric:
    """One number of a set of scores, beside the AUC."""

    name: str
    """Part of the key."""
    title: str
    """For a reader."""
    aim: Direction
    """Higher or lower is better."""
    measure: Callable[[Tensor, Tensor], float]
    """Probabilities (T,) and labels (T,), int64 -> value in [0, 1]."""


def metrics(specificity: float) -> list[Metric]:
    """Sensitivity at the specificity (torchmetrics'), and Brier's score (1950), the mean squared error."""
    from torchmetrics.functional import classification as torchmetrics

    def sensitivity(scores: Tensor, labels: Tensor) -> float:
        value, _ = torchmetrics.binary_sensitivity_at_specificity(scores, labels, min_specificity=specificity)
        return float(value)

    title = f"Sensitivity at {100 * specificity:g}% specificity"
    return [
        Metric("sensitivity", title, Direction.HIGHER, sensitivity),
        Metric("brier", "Brier score", Direction.LOWER, lambda scores, y: float((scores - y).square().mean())),
    ]


def compare(
    scores: Mapping[str, Floats], arms: Sequence[Arm], test: HeldOut, others: Sequence[Metric], confidence: float
) -> tuple[list[UtilityMeasure], list[UtilityEffect]]:
    """Measures of every arm, and effects against its control, from scores (S, T) of S blocks by arm: AUC and others."""
    aucs = {name: delong.components(values, test) for name, values in scores.items()}
    measures = [
        _measure(name, AUC, auc_estimate(auc, confidence), auc.values, confidence) for name, auc in aucs.items()
    ]
    effects = [
        _effect(arm.name, arm.control, AUC, difference_estimate(aucs[arm.name] - aucs[arm.control], confidence),
                confidence)
        for arm in arms if arm.control
    ]  # fmt: skip
    for metric in others:
        tables = {name: _values(values, test, metric) for name, values in scores.items()}
        for name, (whole, without) in tables.items():
            estimated = _in_range(estimate(whole, without, test, confidence))
            measures.append(_measure(name, metric.name, estimated, whole, confidence))
        for arm in arms:
            if arm.control:
                pairs = zip(tables[arm.name], tables[arm.control], strict=True)
                whole, without = (one - other for one, other in pairs)
                estimated = estimate(whole, without, test, confidence)
                effects.append(_effect(arm.name, arm.control, metric.name, estimated, confidence))
    return measures, effects


def auc_estimate(auc: Components, confidence: float) -> Estimate:
    """AUC of an arm, the mean over its blocks, with an interval that stays in [0, 1]; (S,) and (S, C) of one arm."""
    return combine_within(auc.value, delong.variances(auc), confidence, min(auc.patients[:2]))


def difference_estimate(difference: Components, confidence: float) -> Estimate:
    """Difference of two arms' AUC with its interval."""
    return combine(difference.value, difference_variances(difference), confidence)


def difference_variances(difference: Components) -> list[Variance]:
    """Parts of the variance of a difference of AUC: no less than if one patient of the fewer kind had none of it.

    Where every patient shows the same difference, as between a perfect and a useless classifier, DeLong's variance is 0
    however few there are.
    """
    return at_least(delong.variances(difference), difference.value**2 / min(difference.patients[:2]))


def _measure(arm: str, metric: str, estimated: Estimate, by_seed: Floats, confidence: float) -> UtilityMeasure:
    return UtilityMeasure(
        arm, metric, estimated.value, estimated.low, estimated.high, confidence, tuple(by_seed.tolist())
    )


def _effect(arm: str, control: str, metric: str, effect: Estimate, confidence: float) -> UtilityEffect:
    assert effect.low is not None and effect.high is not None  # noqa: PT018  (combine gives both or neither)
    return UtilityEffect(arm, control, metric, effect.value, effect.low, effect.high, confidence)


def _in_range(estimated: Estimate) -> Estimate:
    """The part of an interval in which a share can lie, [0, 1]: as good at holding the truth, and no odder to read."""
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (estimated.low, estimated.high))
    return Estimate(estimated.value, low, high)


def _values(scores: Floats, test: HeldOut, metric: Metric) -> tuple[Floats, Floats]:
    """Values (S,) of all test images, and (S, G) without each block of patients."""
    labels = torch.from_numpy(test.labels)
    kept = [torch.from_numpy(indices) for indices in test.kept()]
    by_seed = torch.from_numpy(scores).float()
    whole = np.array([metric.measure(row, labels) for row in by_seed])
    return whole, np.array([[metric.measure(row[k], labels[k]) for k in kept] for row in by_seed])


def estimate(whole: Floats, without: Floats, test: HeldOut, confidence: float) -> Estimate:
    """Mean over seeds (S,) with its interval; ``without`` (S, G) are the values without each block of patients."""
    value = float(whole.mean())
    count = len(whole)
    sizes = len(test.labels) - np.array([len(indices) for indices in test.kept()])
    seeds = jackknife(value, (whole.sum() - whole) / (count - 1))
    patients = jackknife(value, without.mean(axis=0), sizes)
    total = seeds.variance + patients.variance
    least = max(seeds.variance, patients.variance)
    shrink = max(total - _interaction(whole, without), least) / total if total > 0 else 0.0
    return combine(value, [Variance(part.variance * shrink, part.freedom) for part in (seeds, patients)], confidence)


def _interaction(whole: Floats, without: Floats) -> float:
    """Variance of what neither seed nor patient explains, which the two jackknives count twice.

    It is the residual mean square of the two-way table of pseudo-values (S, G), over its S * G cells (Cameron, Gelbach
    and Miller 2011: the variance of crossed clusters is the sum of both less that of their intersection).
    """
    blocks = without.shape[1]
    pseudo = blocks * whole[:, None] - (blocks - 1) * without
    residual = pseudo - pseudo.mean(axis=0) - pseudo.mean(axis=1, keepdims=True) + pseudo.mean()
    return float(np.square(residual).sum() / ((len(whole) - 1) * (blocks - 1)) / pseudo.size)
