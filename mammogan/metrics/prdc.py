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
from mammogan.statistics import Estimate, Floats, Ints, score_interval

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
    inside_real = (known.across < radii(known.real)[:, None]) | equal
    inside_fake = (known.across < radii(known.fake)) | equal
    return np.array(
        [inside_real.any(axis=0).mean(), inside_fake.any(axis=1).mean(), inside_real.sum(axis=0).mean() / K,
         inside_real.any(axis=1).mean()]
    )  # fmt: skip


def radii(within: Floats) -> Floats:
    """Squared distance (N,) to the k-th nearest other image."""
    others = within.copy()
    np.fill_diagonal(others, np.inf)
    return np.partition(others, K - 1, axis=1)[:, K - 1]


def neighbourhood_estimates(
    real: Floats, fake: Floats, confidence: float, seed: int, patients: Ints | None = None
) -> dict[str, Estimate]:
    """All four with intervals inside their range; ``patients`` (n,) numbers the patient of each real image.

    Random halves of both sets, of the reals' patients, drawn without replacement, vary as much as the whole sets do
    (Politis and Romano 1994, Annals of Statistics 22, with halves). Nearest
    neighbours are not smooth: what leaving images out one block at a time adds up to is up to three times too wide.
    """
    known = distances(real, fake)
    patients = np.arange(len(real)) if patients is None else patients
    values, halves = neighbourhoods(known), _of_halves(known, patients, seed)
    estimates = {}
    for name, value, mean, variance in zip(NAMES, values, halves.mean(axis=0), halves.var(axis=0, ddof=1), strict=True):
        most = math.inf if name == "density" else 1.0
        spread, fewest = mean * (1 - mean / most), min(len(np.unique(patients)), len(fake))
        effective = float(spread / variance) if spread > 0 and variance > 0 else fewest
        estimates[name] = score_interval(float(value), effective, max(fewest - 1, 1), confidence, most)
    return estimates


def _of_halves(known: Distances, patients: Ints, seed: int) -> Floats:
    """The four (HALVES, 4) of random halves of both sets, which keep at least the neighbours that they need."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(HALVES):
        x, y = (_half(clusters, rng) for clusters in (patients, np.arange(len(known.fake))))
        part = Distances(known.real[np.ix_(x, x)], known.fake[np.ix_(y, y)], known.across[np.ix_(x, y)])
        values.append(neighbourhoods(part))
    return np.array(values)


def _half(clusters: Ints, rng: np.random.Generator) -> Ints:
    """Images of half of the clusters, or of as many as have one image more than neighbours are counted."""
    _, index = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(index)
    order = rng.permutation(len(sizes))
    enough = int(np.searchsorted(sizes[order].cumsum(), K + 1)) + 1
    return np.flatnonzero(np.isin(index, order[: max(len(order) // 2, enough)]))
