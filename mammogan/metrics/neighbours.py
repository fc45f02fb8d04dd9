"""Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020) of sets of features.

With B(a) the ball around a that reaches its k-th nearest neighbour in its own set,

    precision = share of fakes in some B(real)          recall   = share of reals in some B(fake)
    density   = mean over fakes of the number of B(real) around it, divided by k
    coverage  = share of B(real) that hold a fake.

All four depend on both counts, and real against real does not give 1: read them beside their floor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammogan.metrics.frechet import checked_features
from mammogan.metrics.intervals import Estimate, Floats, blocks_of, combine, jackknife

K = 5
FEWEST = K + 2
"""So that one image can be left out."""
BLOCKS = 20
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
    return np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T


def neighbourhoods(known: Distances) -> Floats:
    """Precision, recall, density and coverage (4,), in this order."""
    inside_real = known.across < _radii(known.real)[:, None]
    inside_fake = known.across < _radii(known.fake)
    return np.array(
        [inside_real.any(axis=0).mean(), inside_fake.any(axis=1).mean(), inside_real.sum(axis=0).mean() / K,
         inside_real.any(axis=1).mean()]
    )  # fmt: skip


def _radii(within: Floats) -> Floats:
    """Squared distance (N,) to the k-th nearest other image."""
    others = within.copy()
    np.fill_diagonal(others, np.inf)
    return np.partition(others, K - 1, axis=1)[:, K - 1]


def neighbourhood_estimates(real: Floats, fake: Floats, confidence: float) -> dict[str, Estimate]:
    """All four with the interval of a jackknife over up to 20 blocks of images on either side."""
    known = distances(real, fake)
    values = neighbourhoods(known)
    sides = [_without_blocks(known, fakes) for fakes in (False, True)]
    estimates = {}
    for number, name in enumerate(NAMES):
        value = float(values[number])
        parts = [jackknife(value, without[:, number], sizes) for without, sizes in sides]
        estimates[name] = combine(value, parts, confidence)
    return estimates


def _without_blocks(known: Distances, fakes: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Values (G, 4) without each block of the reals, or of the fakes, and the blocks' sizes (G,)."""
    count = len(known.fake if fakes else known.real)
    blocks = blocks_of(count, BLOCKS)
    values = []
    for block in blocks:
        kept = np.delete(np.arange(count), block)
        within = (known.fake if fakes else known.real)[np.ix_(kept, kept)]
        across = known.across[:, kept] if fakes else known.across[kept]
        values.append(neighbourhoods(known._replace(**{"fake" if fakes else "real": within, "across": across})))
    return np.array(values), np.array([len(block) for block in blocks])
