"""Agreement beyond chance: kappa of two readers (Cohen 1960), of more (Fleiss 1971), of a reader with themselves.

kappa = (P - C) / (1 - C): P is the share of agreeing pairs of answers, C what independent answers of the same
frequencies would share, by each rater's own frequencies (Cohen) or by those of all together (Fleiss). The interval is
the jackknife's over images (Fleiss and Davies 1982, Applied Statistics 31). Where all agree on every image there is no
spread to go by: then the lower end is kappa at the exact lower end of P. Nor is there where one of two raters answers
all images alike: kappa is 0 then, whatever the other does, and has no interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammogan.reader_study.accuracy import share
from mammogan.reader_study.rate import Rate
from mammogan.statistics import Floats, Ints, combine, jackknife

Answers = NDArray[np.bool_]
ROUNDING = 1e-12
"""Of kappa: values that differ by less are equal."""


@dataclass(frozen=True)
class Agreement:
    """How far answers to the same images agree."""

    statistic: str
    """``Cohen's kappa`` or ``Fleiss' kappa``."""
    images: int
    """Images that all raters answered."""
    observed: float
    """Share of agreeing pairs of answers."""
    kappa: Rate | None
    """None where all answers are the same, which leaves no chance to agree beyond."""


@dataclass(frozen=True)
class _Shares:
    """P and C."""

    observed: float
    expected: float

    @property
    def kappa(self) -> float | None:
        """None where C is 1."""
        return (self.observed - self.expected) / (1 - self.expected) if self.expected < 1 else None


def agreement(answers: Answers, confidence: float) -> Agreement:
    """Of the answers (raters, images) of at least two raters to at least two images."""
    pair = len(answers) == 2
    shares = _cohen if pair else _fleiss_of_answers
    all_images = shares(answers)
    name = "Cohen's kappa" if pair else "Fleiss' kappa"
    return Agreement(name, answers.shape[1], all_images.observed, _interval(shares, answers, all_images, confidence))


def cohen(first: Answers, second: Answers) -> float | None:
    """Cohen's kappa of two answers to each image, (N,) each."""
    return _cohen(np.stack([first, second])).kappa


def fleiss(counts: Ints) -> float | None:
    """Fleiss' kappa of how many raters chose each category, (images, categories); the same number for every image."""
    return _fleiss(counts).kappa


def _cohen(answers: Answers) -> _Shares:
    first, second = answers
    yes = first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())
    return _Shares(float((first == second).mean()), float(yes))


def _fleiss_of_answers(answers: Answers) -> _Shares:
    yes = answers.sum(0)
    return _fleiss(np.stack([yes, len(answers) - yes], axis=1))


def _fleiss(counts: Ints) -> _Shares:
    raters = int(counts[0].sum())
    agreeing = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))
    frequencies = counts.sum(0) / counts.sum()
    return _Shares(float(agreeing.mean()), float(frequencies @ frequencies))


def _interval(
    shares: Callable[[Answers], _Shares], answers: Answers, all_images: _Shares, confidence: float
) -> Rate | None:
    value, images = all_images.kappa, answers.shape[1]
    if value is None:
        return None
    if all_images.observed == 1:
        least = share(images, images, confidence).low or 0.0
        return Rate(value, _Shares(least, all_images.expected).kappa, 1.0)
    without = [shares(np.delete(answers, image, axis=1)).kappa for image in range(images)]
    if any(kappa is None for kappa in without):
        return Rate(value, None, None)
    left_out = _floats(without)
    if np.ptp(left_out) <= ROUNDING:
        return Rate(value, None, None)
    return Rate.of(combine(value, [jackknife(value, left_out)], confidence, least=-1.0, most=1.0))


def _floats(values: list[float | None]) -> Floats:
    return np.array(values, dtype=np.float64)
