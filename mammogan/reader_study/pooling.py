"""The mean over readers, with an interval for other readers and other images: a bootstrap over both.

Readers are drawn with replacement, and so are the images of each kind, the same for all readers (the multiway
bootstrap of Owen 2007, Annals of Applied Statistics 1). The spread of the draws counts the chance of a single answer
three times, so that the interval is rather too wide; its quantile is Student's with Satterthwaite's degrees of freedom,
because two or three readers tell little of how readers differ, which a percentile of so few would hide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mammogan.reader_study.accuracy import GUESSING, POWER
from mammogan.reader_study.rate import Rate
from mammogan.statistics import Floats, Ints

DRAWS = 2000
Statistic = Callable[[Floats, Floats], Floats]
"""Weights (draws, images) of the synthetic and of the real images to each reader's value (draws, readers)."""


@dataclass(frozen=True)
class PooledRate:
    """A mean over readers."""

    rate: Rate
    p_guessing: float
    """Of the mean 1/2."""
    detectable: float | None
    """Distance from 1/2 that a study of this spread finds with the chance ``accuracy.POWER``; None where none could."""


def pooled_accuracy(synthetic: Ints, real: Ints, confidence: float, seed: int) -> PooledRate:
    """Mean over readers of the share of right answers, from ratings (readers, images) of either kind."""
    right = [(side > 0).astype(np.float64) for side in (synthetic, -real)]

    def statistic(fakes: Floats, reals: Floats) -> Floats:
        return (fakes @ right[0].T + reals @ right[1].T) / (fakes.sum(1) + reals.sum(1))[:, None]

    return _pooled(statistic, synthetic, real, confidence, seed)


def pooled_area(synthetic: Ints, real: Ints, confidence: float, seed: int) -> PooledRate:
    """Mean over readers of the area under the ROC curve; as ``pooled_accuracy``."""
    levels = np.unique(np.concatenate([synthetic, real], axis=1))[:, None, None]
    # (levels, readers, images): whether that reader gave that image that rating
    high, low = ((side[None] == levels).astype(np.float64) for side in (synthetic, real))

    def statistic(fakes: Floats, reals: Floats) -> Floats:
        above = np.einsum("bi,lri->brl", fakes, high, optimize=True)
        below = np.einsum("bi,lri->brl", reals, low, optimize=True)
        pairs = above * (np.cumsum(below, axis=2) - below / 2)
        return pairs.sum(2) / (fakes.sum(1) * reals.sum(1))[:, None]

    return _pooled(statistic, synthetic, real, confidence, seed)


def _pooled(statistic: Statistic, synthetic: Ints, real: Ints, confidence: float, seed: int) -> PooledRate:
    from scipy.special import stdtr, stdtrit

    rng = np.random.default_rng(seed)
    readers = len(synthetic)
    values = statistic(np.ones((1, synthetic.shape[1])), np.ones((1, real.shape[1])))[0]
    by_images = statistic(_weights(synthetic.shape[1], rng), _weights(real.shape[1], rng))
    draws = (_weights(readers, rng) * by_images).sum(1) / readers
    mean, deviation = float(values.mean()), float(draws.std())
    of_readers, of_images = float(values.var(ddof=1)) / readers, float(by_images.mean(1).var())
    freedom = _freedom(of_readers, readers - 1, of_images, synthetic.shape[1] + real.shape[1] - 2)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * deviation
    distance = abs(mean - GUESSING)
    p_value = 2 * float(stdtr(freedom, -distance / deviation)) if deviation > 0 else float(distance == 0)
    power = float(stdtrit(freedom, POWER)) * deviation
    rate = Rate(mean, max(mean - half, 0.0), min(mean + half, 1.0))
    return PooledRate(rate, p_value, half + power if half + power <= 1 - GUESSING else None)


def _weights(count: int, rng: np.random.Generator) -> Floats:
    """How often each of ``count`` things is drawn, (draws, count)."""
    return rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def _freedom(readers: float, reader_freedom: int, images: float, image_freedom: int) -> float:
    """Satterthwaite's (1946), of the variances that readers and images contribute."""
    squares = readers**2 / reader_freedom + images**2 / image_freedom
    return (readers + images) ** 2 / squares if squares > 0 else float(reader_freedom)
