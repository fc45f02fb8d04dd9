"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of sets of features.

With B(a) the open ball around a that reaches its k-th nearest neighbour in its own set, and a itself, so that the balls
of images that stand there more than k times hold their copies,

    precision = share of fakes in some B(real)          recall   = share of reals in some B(fake)
    density   = mean over fakes of the number of B(real) around it, divided by k
    coverage  = share of B(real) that hold a fake.

All four depend on both counts, and real against real does not give 1: read them beside their reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mammogan.metrics.fid import checked_features
from mammogan.statistics import Estimate, Floats, score_interval

K = 5
FEWEST = K + 2
"""So that a part of the images can be left out."""
ROUNDING = 1e-13
"""What the squared distance of equal features may come to, as a share of their squared lengths."""
HALVES = 100
NAMES = ("precision", "recall", "density", "coverage")


class Distances(NamedTuple):
    """Squared Euclidean distances between the features of n reals and m fakes."""

    real: Floats
    """(n, n)."""
    fake: Floats
    """(m, m)."""
    across: Floats
    """(n, m)."""


def distances(real: Floats, fake: Floats) -> Distances:
    """All distances of features ``real`` (n, D) and ``fake`` (m, D). Raises ValueError for fewer than 7 images."""
    real, fake = checked_features("real", real), checked_features("fake", fake)
    for name, features in (("real", real), ("fake", fake)):
        if len(features) < FEWEST:
            raise ValueError(f"{name} has {len(features)} images: {K} neighbours need at least {FEWEST}")
    return Distances(_squared(real, real), _squared(fake, fake), _squared(real, fake))


def _squared(x: Floats, y: Floats) -> Floats:
    centre = x.mean(axis=0)
    x, y = x - centre, y - centre
    sums = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    squared = sums - 2 * x @ y.T
    squared[squared <= ROUNDING * sums] = 0
    return squared


def neighbourhoods(known: Distances) -> Floats:
    """Precision, recall, density and coverage (4,), in this order."""
    equal = known.across == 0
    inside_real = (known.across < _radii(known.real)[:, None]) | equal
    inside_fake = (known.across < _radii(known.fake)) | equal
    return np.array(
        [inside_real.any(axis=0).mean(), inside_fake.any(axis=1).mean(), inside_real.sum(axis=0).mean() / K,
         inside_real.any(axis=1).mean()]
    )  # fmt: skip


def _radii(within: Floats) -> Floats:
    """Squared distance (N,) to the k-th nearest other image."""
    others = within.copy()
    np.fill_diagonal(others, np.inf)
    return np.partition(others, K - 1, axis=1)[:, K - 1]


def neighbourhood_estimates(real: Floats, fake: Floats, confidence: float, seed: int) -> dict[str, Estimate]:
    """All four with intervals inside their range.

    Random halves of both sets, drawn without replacement, vary as much as the whole sets do (Politis and Romano 1994,
    Annals of Statistics 22, with halves). Nearest neighbours are not smooth: what leaving images out one block at a
    time adds up to is up to three times too wide.
    """
    known = distances(real, fake)
    values, halves = neighbourhoods(known), _of_halves(known, seed)
    estimates = {}
    for name, value, mean, variance in zip(NAMES, values, halves.mean(axis=0), halves.var(axis=0, ddof=1), strict=True):
        most = math.inf if name == "density" else 1.0
        spread, fewest = mean * (1 - mean / most), min(len(real), len(fake))
        effective = float(spread / variance) if spread > 0 and variance > 0 else fewest
        estimates[name] = score_interval(float(value), effective, fewest - 1, confidence, most)
    return estimates


def _of_halves(known: Distances, seed: int) -> Floats:
    """The four (HALVES, 4) of random halves of both sets, which keep at least the neighbours that they need."""
    rng = np.random.default_rng(seed)
    counts = known.across.shape
    values = []
    for _ in range(HALVES):
        x, y = (rng.choice(count, max(count // 2, K + 1), replace=False) for count in counts)
        part = Distances(known.real[np.ix_(x, x)], known.fake[np.ix_(y, y)], known.across[np.ix_(x, y)])
        values.append(neighbourhoods(part))
    return np.array(values)
