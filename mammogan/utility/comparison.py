"""Metrics of the scores, and paired differences between arms with intervals that carry both seeds and test patients.

The value of an arm is the mean over its seeds. Two things are random: the training's seed, and which patients are in
the test set. The variance is that of crossed clusters: the jackknife over seeds plus the delete-a-block jackknife over
patients, less what both count. An effect is the same for the difference from real images alone, seed by seed and
image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammogan.results import Direction, Finding, UtilityEffect, UtilityMeasure
from mammogan.statistics import Estimate, Floats, Variance, combine, jackknife, numbered
from mammogan.utility.arms import REAL

CALIBRATION_BINS = 10
BLOCKS = 20


@dataclass(frozen=True)
class Metric:
    """One number of a set of scores."""

    name: str
    """Part of the key."""
    title: str
    """For a reader."""
    aim: Direction
    """Higher or lower is better."""
    measure: Callable[[Tensor, Tensor], float]
    """Probabilities (T,) and labels (T,), int64 -> value."""


def metrics(specificity: float) -> list[Metric]:
    """AUC, sensitivity at the specificity, and expected calibration error, all torchmetrics'."""
    from torchmetrics.functional import classification as torchmetrics

    def sensitivity(scores: Tensor, labels: Tensor) -> float:
        value, _ = torchmetrics.binary_sensitivity_at_specificity(scores, labels, min_specificity=specificity)
        return float(value)

    def calibration(scores: Tensor, labels: Tensor) -> float:
        return float(torchmetrics.binary_calibration_error(scores, labels, n_bins=CALIBRATION_BINS))

    title = f"Sensitivity at {100 * specificity:g}% specificity"
    return [
        Metric("auc", "AUC", Direction.HIGHER, lambda scores, labels: float(torchmetrics.binary_auroc(scores, labels))),
        Metric("sensitivity", title, Direction.HIGHER, sensitivity),
        Metric("calibration", "Calibration error", Direction.LOWER, calibration),
    ]


@dataclass(frozen=True)
class Test:
    """The test images' labels and patients, in the order of the scores."""

    __test__ = False  # pytest would take the name for a test

    labels: NDArray[np.int64]
    """(T,): 0 benign, 1 malignant."""
    patients: Sequence[str]
    """Patient of each image."""

    def kept(self) -> list[NDArray[np.int64]]:
        """Indices that remain when each of at most 20 blocks of patients is left out.

        Patients with a malignant image are dealt out first, so that every remainder holds both classes.
        """
        index = numbered(self.patients)
        count = int(index.max()) + 1
        malignant = np.array([self.labels[index == number].max() for number in range(count)])
        block = np.empty(count, dtype=np.int64)
        block[np.argsort(-malignant, kind="stable")] = np.arange(count) % min(BLOCKS, count)
        return [np.flatnonzero(block[index] != number) for number in range(block.max() + 1)]


def compare(
    scores: Mapping[str, Floats], test: Test, chosen: Sequence[Metric], confidence: float
) -> tuple[list[UtilityMeasure], list[UtilityEffect]]:
    """Measures of every arm, and effects against real images alone, from scores (S, T) of S seeds by arm."""
    measures, effects = [], []
    for metric in chosen:
        tables = {name: _values(values, test, metric) for name, values in scores.items()}
        for name, (whole, without) in tables.items():
            value, low, high = _in_range(estimate(whole, without, test, confidence))
            by_seed = tuple(whole.tolist())
            measures.append(UtilityMeasure(name, metric.name, value, low, high, confidence, by_seed))
            if name != REAL:
                base_whole, base_without = tables[REAL]
                effect = estimate(whole - base_whole, without - base_without, test, confidence)
                effects.append(_effect(name, metric, effect, confidence))
    return measures, effects


def _effect(arm: str, metric: Metric, effect: Estimate, confidence: float) -> UtilityEffect:
    value, low, high = effect
    assert low is not None and high is not None  # noqa: PT018  (combine gives both or neither)
    return UtilityEffect(arm, metric.name, value, low, high, confidence, _finding(effect, metric.aim))


def _in_range(interval: Estimate) -> Estimate:
    """The part of an interval in which a share can lie, [0, 1]: as good at holding the truth, and no odder to read."""
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (interval.low, interval.high))
    return Estimate(interval.value, low, high)


def _values(scores: Floats, test: Test, metric: Metric) -> tuple[Floats, Floats]:
    """Values (S,) of all test images, and (S, G) without each block of patients."""
    labels = torch.from_numpy(test.labels)
    kept = [torch.from_numpy(indices) for indices in test.kept()]
    by_seed = torch.from_numpy(scores).float()
    whole = np.array([metric.measure(row, labels) for row in by_seed])
    return whole, np.array([[metric.measure(row[k], labels[k]) for k in kept] for row in by_seed])


def estimate(whole: Floats, without: Floats, test: Test, confidence: float) -> Estimate:
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


def _finding(effect: Estimate, aim: Direction) -> Finding:
    """Better or worse where the whole interval lies on one side of 0, else no significant difference."""
    assert effect.low is not None and effect.high is not None  # noqa: PT018  (combine gives both or neither)
    if effect.low <= 0 <= effect.high:
        return Finding.NO_DIFFERENCE
    return Finding.BETTER if (effect.value > 0) == (aim is Direction.HIGHER) else Finding.WORSE
