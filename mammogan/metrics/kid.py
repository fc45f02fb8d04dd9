"""Kernel distance between two sets of features (KID, Binkowski et al. 2018): the squared MMD of a cubic kernel.

k(a, b) = (a.b / D + 1)^3. With x (n, D) and y (m, D) the unbiased estimate is the U-statistic
MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j),
over all images at once; it is negative about half the time when both come from one distribution, and stays so.

Its variance is that of single images, what the jackknife is about, and that of pairs of them (Hoeffding's
decomposition; Serfling 1980, section 5.2.1): with k~ the kernel less its means over either argument,
2 E k~(x, x')^2 / n(n-1) + 2 E k~(y, y')^2 / m(m-1) + 4 E k~(x, y)^2 / nm. Where both samples come from one distribution
that is all there is (Gretton et al. 2012, section 5); a jackknife over images then has twice as much on average, but
next to none in the draws whose estimate is lowest, if one direction of the features rules the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mammogan.metrics.fid import checked_features
from mammogan.statistics import Estimate, Floats, Variance, at_least, combine, jackknife

FEWEST_FOR_INTERVAL = 4
SUBSETS, SUBSET_SIZE, SUBSET_SEED = 100, 1000, 2020
"""What torch-fidelity does by default."""
ROWS_AT_ONCE = 1024


class KernelSums(NamedTuple):
    """Sums of the kernel that the estimate and its jackknife need."""

    within: Floats
    """(n,): over the other images of the same sample, without the image itself."""
    diagonal: Floats
    """(n,): k(x_i, x_i)."""
    across: Floats
    """(n,): over all images of the other sample."""
    squares_within: float
    """Of the kernel's squares, over i != j of the same sample."""
    squares_across: float
    """Of the kernel's squares, over all pairs with the other sample."""


def kernel_distance(x: Floats, y: Floats, unbiased: bool = True) -> float:
    """KID of features ``x`` (n, D) and ``y`` (m, D), computed in float64; may be negative when unbiased.

    Raises ValueError as ``frechet_distance`` does.
    """
    return _statistic(*_sums(x, y), unbiased)


def _statistic(x: KernelSums, y: KernelSums, unbiased: bool) -> float:
    n, m = len(x.within), len(y.within)
    across = 2 * x.across.sum() / (n * m)
    if unbiased:
        return float(x.within.sum() / (n * (n - 1)) + y.within.sum() / (m * (m - 1)) - across)
    return float((x.within + x.diagonal).sum() / n**2 + (y.within + y.diagonal).sum() / m**2 - across)


def kernel_estimate(x: Floats, y: Floats, confidence: float) -> Estimate:
    """Unbiased KID with the interval of a jackknife over the images of both samples, at least of their pairs' variance.

    Without ends where a sample has fewer than 4 images.
    """
    x_sums, y_sums = _sums(x, y)
    value = _statistic(x_sums, y_sums, unbiased=True)
    if min(len(x), len(y)) < FEWEST_FOR_INTERVAL:
        return Estimate(value, None, None)
    parts = [_leave_one_out(value, x_sums, y_sums), _leave_one_out(value, y_sums, x_sums)]
    return combine(value, at_least(parts, _of_pairs(x_sums, y_sums)), confidence)


def _of_pairs(x: KernelSums, y: KernelSums) -> float:
    """Unbiased estimate of the variance that pairs of images contribute, with the terms of the module's docstring."""
    n, m = len(x.within), len(y.within)
    means = n * m * (x.across.sum() / (n * m)) ** 2 - x.across @ x.across / m - y.across @ y.across / n
    across = max(x.squares_across + means, 0.0) / ((n - 1) * (m - 1))
    return 2 * _centred_square(x) / (n * (n - 1)) + 2 * _centred_square(y) / (m * (m - 1)) + 4 * across / (n * m)


def _centred_square(sums: KernelSums) -> float:
    """Unbiased E k~(x, x')^2 by U-centring (Szekely and Rizzo 2014, Annals of Statistics 42, section 3)."""
    n, rows = len(sums.within), sums.within
    means = rows.sum() ** 2 / ((n - 1) * (n - 2)) - 2 * (rows @ rows) / (n - 2)
    # rounding may leave less than nothing of a kernel that is the same for all pairs
    return max(sums.squares_within + means, 0.0) / (n * (n - 3))


def _leave_one_out(value: float, x: KernelSums, y: KernelSums) -> Variance:
    """Jackknife over the images of ``x``: each leaves its row and its column of the kernel."""
    n, m = len(x.within), len(y.within)
    within = (x.within.sum() - 2 * x.within) / ((n - 1) * (n - 2))
    across = (x.across.sum() - x.across) / ((n - 1) * m)
    return jackknife(value, within + y.within.sum() / (m * (m - 1)) - 2 * across)


class SubsetKid(NamedTuple):
    """KID as usually published: mean and standard deviation over random subsets."""

    mean: float
    std: float
    size: int
    """Images of a subset; 1000, or all of the smaller set where it has fewer."""


def kernel_subsets(x: Floats, y: Floats) -> SubsetKid:
    """KID over 100 subsets of both sets, the same subsets that torch-fidelity draws."""
    x, y = checked_features("x", x), checked_features("y", y)
    size = min(SUBSET_SIZE, len(x), len(y))
    rng = np.random.RandomState(SUBSET_SEED)
    within_x, within_y, across = _cubic(x, x), _cubic(y, y), _cubic(x, y)
    values = []
    for _ in range(SUBSETS):
        some_x, some_y = rng.choice(len(x), size, replace=False), rng.choice(len(y), size, replace=False)
        sums = [_off_diagonal(within[np.ix_(some, some)]) for within, some in ((within_x, some_x), (within_y, some_y))]
        values.append(sum(sums) / (size * (size - 1)) - 2 * across[np.ix_(some_x, some_y)].mean())
    return SubsetKid(float(np.mean(values)), float(np.std(values)), size)


def _off_diagonal(kernel: Floats) -> float:
    return float(kernel.sum() - np.trace(kernel))


def _sums(x: Floats, y: Floats) -> tuple[KernelSums, KernelSums]:
    x, y = checked_features("x", x), checked_features("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"y has {y.shape[1]} features, x has {x.shape[1]}: use one extractor for both")
    x_across, y_across, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for first in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        kernel = _cubic(x[rows], y)
        x_across[rows] = kernel.sum(axis=1)
        y_across += kernel.sum(axis=0)
        squares += float(np.vdot(kernel, kernel))
    return _kernel_sums(x, x_across, squares), _kernel_sums(y, y_across, squares)


def _kernel_sums(x: Floats, across: Floats, squares_across: float) -> KernelSums:
    diagonal = (np.square(x).sum(axis=1) / x.shape[1] + 1) ** 3
    within, squares = np.zeros(len(x)), 0.0
    for first in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        kernel = _cubic(x[rows], x)
        within[rows] = kernel.sum(axis=1)
        squares += float(np.vdot(kernel, kernel))
    return KernelSums(within - diagonal, diagonal, across, squares - float(diagonal @ diagonal), squares_across)


def _cubic(x: Floats, y: Floats) -> Floats:
    return (x @ y.T / x.shape[1] + 1) ** 3
