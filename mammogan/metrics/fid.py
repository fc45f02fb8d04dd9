"""Fréchet distance between the Gaussians fitted to two sets of features (FID, Heusel et al. 2017, equation 6).

FID = |mu_x - mu_y|^2 + tr(S_x) + tr(S_y) - 2 tr((S_x S_y)^(1/2)), with unbiased covariances. For centred features X_c
(n, D) and Y_c (m, D) the last trace is the nuclear norm of X_c Y_c^T divided by sqrt((n - 1)(m - 1)): its singular
values squared are the eigenvalues of S_x S_y. That needs no (D, D) matrix while min(n, m) < D; beyond, QR first turns
X_c and Y_c into triangles with the same covariance. The value depends on n and m: read it beside its reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mammogan.statistics import Estimate, Floats, Ints, cluster_blocks, combine, jackknife

FEWEST = 2
BLOCKS = 20
SIZES = 15
SMALLEST_SHARE = 1 / 3
REFERENCE_SHARES, REFERENCE_DRAWS = 1 / np.linspace(2, 4, 5), 6
"""Of all images in each of two parts that a reference is fitted over, and random parts of each size."""


def frechet_distance(x: Floats, y: Floats) -> float:
    """FID of features ``x`` (n, D) and ``y`` (m, D), computed in float64; never negative beyond rounding.

    Raises ValueError for other shapes, fewer than 2 rows or numbers that are not finite.
    """
    x, y = checked_features("x", x), checked_features("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y has {y.shape[1]} features, x has {x.shape[1]}: use one extractor for both")
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x_root, y_root = _root(x - x_mean), _root(y - y_mean)
    traces = np.square(x_root).sum() + np.square(y_root).sum()
    nuclear = np.linalg.svd(x_root @ y_root.T, compute_uv=False).sum()
    return float(np.square(x_mean - y_mean).sum() + traces - 2 * nuclear)


def _root(centred: Floats) -> Floats:
    """R with R^T R the unbiased covariance: the centred features themselves, or their triangle if that is smaller."""
    rows, columns = centred.shape
    triangle = np.asarray(np.linalg.qr(centred, mode="r")) if rows > columns else centred
    return triangle / math.sqrt(rows - 1)


def checked_features(name: str, features: Floats) -> Floats:
    """``features`` as float64 (N, D). Raises ValueError for another shape, N < 2, NaN or infinity."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < FEWEST:
        raise ValueError(f"{name} has shape {features.shape}: give features (N, D) of at least {FEWEST} images")
    if not np.isfinite(features).all():
        raise ValueError(f"{name} holds NaN or infinity: look for broken images or weights")
    return features


def frechet_estimate(x: Floats, y: Floats, confidence: float, patients: Ints | None = None) -> Estimate:
    """FID at this n and m, with the interval of a jackknife over up to 20 blocks of images on either side.

    ``patients`` (n,) numbers the patient of each image of ``x``; a block holds all images of its patients. The interval
    is that of the logarithm. Without ends where leaving a block out leaves fewer than 2 images.
    """
    value = frechet_distance(x, y)
    x_blocks = cluster_blocks(np.arange(len(x)) if patients is None else patients, BLOCKS)
    y_blocks = cluster_blocks(np.arange(len(y)), BLOCKS)
    left = [sum(map(len, blocks)) - max(map(len, blocks)) for blocks in (x_blocks, y_blocks)]
    if min(left) < FEWEST:
        return Estimate(value, None, None)
    without_x = np.array([frechet_distance(np.delete(x, block, axis=0), y) for block in x_blocks])
    without_y = np.array([frechet_distance(x, np.delete(y, block, axis=0)) for block in y_blocks])
    parts = [
        jackknife(value, without, np.array([len(block) for block in blocks]))
        for without, blocks in ((without_x, x_blocks), (without_y, y_blocks))
    ]
    return combine(value, parts, confidence, least=0)


class PowerLaw(NamedTuple):
    """FID of two samples of one distribution, FID = factor (1/n + 1/m)^power.

    The power is 1 to first order (Chong and Forsyth 2020) and less below D images; without any bias FID is 0.
    """

    factor: float
    power: float

    def at(self, n: float, m: float) -> float:
        """FID at these counts."""
        return self.factor * (1 / n + 1 / m) ** self.power


def reference_within(x: Floats, count: int, seed: int, patients: Ints | None = None) -> float | None:
    """FID that ``count`` other images of the same kind would have against the n images ``x`` (n, D).

    Parts of ``x`` that share no patient are compared, of several sizes a and b each; a power law is fitted to their FID
    over 1/a + 1/b by regression of the logarithms, and read at 1/n + 1/count: halves of ``x`` alone would be read at
    4/n. None where no two parts of 2 images can be made.
    """
    law = _power_law(x, seed, np.arange(len(x)) if patients is None else patients)
    return law.at(len(x), count) if law else None


def reference_between(x: Floats, y: Floats, count: int, seed: int, patients: Ints | None = None) -> float | None:
    """FID that ``count`` images as ``y`` (m, D), other real ones, would have against the n images ``x`` (n, D).

    The law of parts of ``y`` at these counts, and on top of it what FID of ``x`` and ``y`` themselves exceeds it by:
    what lies between the two kinds. ``patients`` (m,) numbers those of ``y``. None as ``reference_within``.
    """
    law = _power_law(y, seed, np.arange(len(y)) if patients is None else patients)
    if law is None or len(x) < FEWEST:
        return None
    excess = frechet_distance(x, y) - law.at(len(x), len(y))
    return max(law.at(len(x), count) + excess, 0.0)


def _power_law(x: Floats, seed: int, patients: Ints) -> PowerLaw | None:
    rng = np.random.default_rng(seed)
    pairs = [_parts(patients, share, rng) for share in np.repeat(REFERENCE_SHARES, REFERENCE_DRAWS)]
    pairs = [(one, other) for one, other in pairs if min(len(one), len(other)) >= FEWEST]
    if not pairs:
        return None
    inverses = np.array([1 / len(one) + 1 / len(other) for one, other in pairs])
    values = np.array([frechet_distance(x[one], x[other]) for one, other in pairs])
    if values.min() <= 0 or np.ptp(inverses) == 0:  # equal images, or too few for two sizes
        return PowerLaw(max(float(values.mean() / inverses.mean()), 0.0), 1.0)
    power, logarithm = np.polyfit(np.log(inverses), np.log(values), deg=1)
    return PowerLaw(math.exp(logarithm), float(power))


def _parts(patients: Ints, share: float, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Images of two random parts of the patients, of about that share of the images each."""
    _, index = np.unique(patients, return_inverse=True)
    sizes = np.bincount(index)
    order = rng.permutation(len(sizes))
    before = (sizes[order].cumsum() - sizes[order] / 2) / len(index)
    one, other = order[before <= share], order[(before > share) & (before <= 2 * share)]
    return np.flatnonzero(np.isin(index, one)), np.flatnonzero(np.isin(index, other))


def frechet_extrapolated(x: Floats, y: Floats, seed: int) -> float | None:
    """FID at infinitely many images (FID-infinity, Chong and Forsyth 2020): the intercept of FID over 1/size.

    15 random subsets of both sets, from all images down to a third of them, evenly spaced in 1/size. None where a third
    is fewer than 2 images. Below D images the bias is not quite linear in 1/size: take it as a direction, not a value.
    """
    if min(len(x), len(y)) * SMALLEST_SHARE < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    inverses = np.linspace(1, 1 / SMALLEST_SHARE, SIZES)
    values = []
    for inverse in inverses:
        x_some, y_some = (rng.choice(len(f), round(len(f) / inverse), replace=False) for f in (x, y))
        values.append(frechet_distance(x[x_some], y[y_some]))
    return float(np.polyfit(inverses, values, deg=1)[1])
