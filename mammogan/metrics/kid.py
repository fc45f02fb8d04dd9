"""Kernel distance between two sets of features (KID, Binkowski et al. 2018): the squared MMD of a cubic kernel.

k(a, b) = (a.b / D + 1)^3. With x (n, D) and y (m, D) the unbiased estimate is the U-statistic
MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean over i, j of k(x_i, y_j),
over all images at once; it is negative about half the time when both come from one distribution, and stays so.
Two images of one patient are more alike than two of the distribution. Where patients are known, i and j are therefore
of different ones: with all pairs, 15 patients of eight images had a KID of 0.24 on average where 0.1 was true.

Its variance is that of single images, what the jackknife is about, and that of pairs of them (Hoeffding's
decomposition; Serfling 1980, section 5.2.1): with k~ the kernel less its means over either argument,
2 E k~(x, x')^2 / n(n-1) + 2 E k~(y, y')^2 / m(m-1) + 4 E k~(x, y)^2 / nm. Where both samples come from one distribution
that is all there is (Gretton et al. 2012, section 5); a jackknife over images then has twice as much on average, but
next to none in the draws whose estimate is lowest, if one direction of the features rules the kernel.

Images of one patient are no independent witnesses: the jackknife leaves out patients, and in the variance of pairs k~
is summed over all pairs of two patients, k~ being what is left of the means of these pairs by the additive fit
a_p + a_q, weighted by their number. All of that needs the kernel's sums over blocks of images alone, a block being a
patient, or one image where it has none.

Two generators are compared by MMD^2(x, y) - MMD^2(z, y) on the same reals y, whose own term cancels. A patient is left
out of both at once, so that what all generators find hard about a patient takes no part in the difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mammogan.metrics.fid import checked_features
from mammogan.statistics import Estimate, Floats, Ints, Variance, at_least, combine, jackknife

FEWEST_FOR_INTERVAL = 4
"""Images, or patients, of a sample."""
SUBSETS, SUBSET_SIZE, SUBSET_SEED = 100, 1000, 2020
"""What torch-fidelity does by default."""
ROWS_AT_ONCE = 1024
MOST_BLOCKS = 1000
"""Blocks that the jackknife leaves out at most: of more images or patients each block holds several."""


class KernelDifference(NamedTuple):
    """KID of one set of generated images less that of another, on the same reals."""

    value: float
    upper: float | None
    """One-sided upper end; None where a sample is too small for one."""
    one: float
    """KID of the first set."""
    other: float


class Within(NamedTuple):
    """The kernel among the images of one sample."""

    sums: Floats
    """(B, B): over pairs of images of different patients, of two blocks."""
    sizes: Floats
    """(B,): images of each block."""
    own: Floats
    """(B,): over all other pairs, those of one patient and of each image with itself."""
    own_pairs: Floats
    """(B,): how many these are."""

    @property
    def images(self) -> float:
        """How many."""
        return float(self.sizes.sum())

    @property
    def pairs(self) -> float:
        """Of images of different patients, in either order."""
        return self.images**2 - float(self.own_pairs.sum())

    @property
    def mean(self) -> float:
        """Over pairs of images of different patients."""
        return float(self.sums.sum() / self.pairs)

    @property
    def mean_of_all(self) -> float:
        """Over all pairs, each image with itself too."""
        return float(self.sums.sum() + self.own.sum()) / self.images**2

    def means_without(self) -> Floats:
        """(B,): the mean without each block."""
        pairs = (self.images - self.sizes) ** 2 - (self.own_pairs.sum() - self.own_pairs)
        return (self.sums.sum() - 2 * self.sums.sum(axis=1) + self.sums.diagonal()) / pairs

    def variance_of_pairs(self) -> float:
        """Of the mean; with one image a block k~ is U-centred (Szekely and Rizzo 2014, Annals of Statistics 42)."""
        blocks, between = len(self.sizes), self.sums.copy()
        np.fill_diagonal(between, 0.0)
        # a block that holds half of the images has its own share of the fit undetermined, and may keep it
        others = np.maximum(self.images - 2 * self.sizes, 1.0)
        rows = between.sum(axis=1)
        shared = (rows / others).sum() / (1 + (self.sizes / others).sum())
        fitted = np.multiply.outer(self.sizes, (rows - self.sizes * shared) / others)
        between -= fitted
        between -= fitted.T
        np.fill_diagonal(between, 0.0)
        return 2 * float(np.vdot(between, between)) / self.pairs**2 * (blocks - 1) / (blocks - 3)


class Across(NamedTuple):
    """The kernel between the images of two samples."""

    sums: Floats
    """(B, C): over pairs of images of a block of either."""
    sizes: Floats
    """(B,): images of each block of the first sample."""
    other_sizes: Floats
    """(C,): of the second."""

    @property
    def mean(self) -> float:
        """Over all pairs."""
        return float(self.sums.sum() / (self.sizes.sum() * self.other_sizes.sum()))

    @property
    def swapped(self) -> Across:
        """The same with the samples in the other order."""
        return Across(self.sums.T, self.other_sizes, self.sizes)

    def means_without(self) -> Floats:
        """(B,): the mean without each block of the first sample."""
        return (self.sums.sum() - self.sums.sum(axis=1)) / ((self.sizes.sum() - self.sizes) * self.other_sizes.sum())

    def variance_of_pairs(self) -> float:
        """Of twice the mean."""
        n, m = self.sizes.sum(), self.other_sizes.sum()
        rows, columns = self.sums.sum(axis=1) / m, self.sums.sum(axis=0) / n
        centred = self.sums - np.multiply.outer(rows, self.other_sizes) - np.multiply.outer(self.sizes, columns)
        centred += np.multiply.outer(self.sizes, self.other_sizes) * (rows.sum() / n)
        blocks, others = centred.shape
        scale = blocks * others / ((blocks - 1) * (others - 1))
        return 4 * float(np.vdot(centred, centred)) / float(n * m) ** 2 * scale


class KernelSums(NamedTuple):
    """All that the distance of two samples and its variance need."""

    x: Within
    y: Within
    across: Across


def kernel_distance(
    x: Floats, y: Floats, unbiased: bool = True, patients: Ints | None = None, other_patients: Ints | None = None
) -> float:
    """KID of features ``x`` (n, D) and ``y`` (m, D), computed in float64; may be negative when unbiased.

    ``patients`` (n,) and ``other_patients`` (m,) number the patient of each image, of ``x`` and of ``y``. Raises
    ValueError as ``frechet_distance`` does.
    """
    sums = _sums_of(_sample("x", x, patients), _sample("y", y, other_patients))
    if unbiased:
        return _distance(sums)
    return float(sums.x.mean_of_all + sums.y.mean_of_all - 2 * sums.across.mean)


def kernel_estimate(x: Floats, y: Floats, confidence: float, patients: Ints | None = None) -> Estimate:
    """Unbiased KID with the interval of a jackknife over both samples, at least of their pairs' variance.

    ``patients`` (n,) numbers the patient of each image of ``x``, who is left out with all of them, and whose images are
    not compared with each other; without it each image has a patient of its own, as those of ``y`` have. Of a single
    patient all pairs count. Without ends where there are fewer than 4 images or patients.
    """
    sums = kernel_sums(x, y, patients)
    value = _distance(sums)
    if min(len(sums.x.sizes), len(sums.y.sizes)) < FEWEST_FOR_INTERVAL:
        return Estimate(value, None, None)
    return combine(value, at_least(_jackknives(value, sums), _of_pairs(sums)), confidence)


def kernel_error(x: Floats, y: Floats) -> float | None:
    """Standard error of KID that the images ``y`` alone bring in, the ``x`` being what they are; None below 4."""
    sums = kernel_sums(x, y)
    if len(sums.y.sizes) < FEWEST_FOR_INTERVAL:
        return None
    return _jackknives(_distance(sums), sums)[1].variance ** 0.5


def kernel_difference(
    one: Floats, other: Floats, real: Floats, confidence: float, patients: Ints | None = None
) -> KernelDifference:
    """KID of generated images ``one`` (n, D) less that of ``other`` (m, D), both against ``real`` (r, D).

    ``confidence`` is that of the one-sided upper end. The variance is that of a joint jackknife over patients, who are
    left out of both distances at once, and of one over each generator's images, independent of it and of each other;
    at least that of the pairs. Without an upper end where there are fewer than 4 patients or images.
    """
    reals = _sample("real", real, patients)
    within = _within(reals)
    first, second = (_sums_of(reals, _sample(name, fakes), within) for name, fakes in (("one", one), ("other", other)))
    values = _distance(first), _distance(second)
    value = values[0] - values[1]
    counts = [len(side.sizes) for side in (first.x, first.y, second.y)]
    if min(counts) < FEWEST_FOR_INTERVAL:
        return KernelDifference(value, None, *values)
    without = second.across.means_without() - first.across.means_without()
    own = first.y.mean - second.y.mean
    parts = [
        jackknife(value, own + 2 * without),
        *(_jackknives(own_value, sums)[1] for own_value, sums in zip(values, (first, second), strict=True)),
    ]
    pairs = sum(sums.y.variance_of_pairs() + sums.across.variance_of_pairs() for sums in (first, second))
    estimate = combine(value, at_least(parts, pairs), 2 * confidence - 1)
    return KernelDifference(value, estimate.high, *values)


def _distance(sums: KernelSums) -> float:
    return sums.x.mean + sums.y.mean - 2 * sums.across.mean


def _jackknives(value: float, sums: KernelSums) -> list[Variance]:
    """Of ``x`` and of ``y``: each block leaves its rows and its columns of the kernel.

    Blocks count alike whatever they hold: images of one patient may all say the same.
    """
    sides = (sums.x, sums.y, sums.across), (sums.y, sums.x, sums.across.swapped)
    return [
        jackknife(value, side.means_without() + other.mean - 2 * across.means_without())
        for side, other, across in sides
    ]


def _of_pairs(sums: KernelSums) -> float:
    """Unbiased estimate of the variance that pairs of images contribute, with the terms of the module's docstring."""
    return sums.x.variance_of_pairs() + sums.y.variance_of_pairs() + sums.across.variance_of_pairs()


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
    within_x, within_y, across = cubic(x, x), cubic(y, y), cubic(x, y)
    values = []
    for _ in range(SUBSETS):
        some_x, some_y = rng.choice(len(x), size, replace=False), rng.choice(len(y), size, replace=False)
        sums = [_off_diagonal(within[np.ix_(some, some)]) for within, some in ((within_x, some_x), (within_y, some_y))]
        values.append(sum(sums) / (size * (size - 1)) - 2 * across[np.ix_(some_x, some_y)].mean())
    return SubsetKid(float(np.mean(values)), float(np.std(values)), size)


def _off_diagonal(kernel: Floats) -> float:
    return float(kernel.sum() - np.trace(kernel))


def kernel_sums(x: Floats, y: Floats, patients: Ints | None = None) -> KernelSums:
    """The kernel of features ``x`` (n, D) and ``y`` (m, D), summed over blocks; ``patients`` (n,) of ``x`` alone."""
    return _sums_of(_sample("x", x, patients), _sample("y", y))


class Sample(NamedTuple):
    """Features in the order of their blocks, and in each of their patients."""

    features: Floats
    """(N, D)."""
    patient: Ints
    """(N,): from 0."""
    block: Ints
    """(N,): ascending."""

    @property
    def sizes(self) -> Floats:
        """(B,): images of each block."""
        return np.bincount(self.block).astype(np.float64)


def _sample(name: str, features: Floats, patients: Ints | None = None) -> Sample:
    """Checked features, a block for each patient or image, or several of them in each of the most that may be."""
    features = checked_features(name, features)
    if patients is None:
        patients = np.arange(len(features))
    elif len(patients) != len(features):
        raise ValueError(f"patients={len(patients)} numbers: give one for each of the {len(features)} images of {name}")
    _, index = np.unique(patients, return_inverse=True)
    block = index % min(int(index.max()) + 1, MOST_BLOCKS)
    order = np.lexsort((index, block))
    return Sample(features[order], index[order], block[order])


def _sums_of(x: Sample, y: Sample, x_within: Within | None = None) -> KernelSums:
    """``x_within`` is what ``_within`` gives of ``x``, where it is known already."""
    if x.features.shape[1] != y.features.shape[1]:
        raise ValueError(
            f"y has {y.features.shape[1]} features, x has {x.features.shape[1]}: use one extractor for both"
        )
    return KernelSums(x_within or _within(x), _within(y), Across(_block_sums(x, y), x.sizes, y.sizes))


def _within(x: Sample) -> Within:
    sums = _block_sums(x, x)
    # of a single patient no pair is of two
    alike = x.patient if x.patient[0] != x.patient[-1] else np.arange(len(x.features))
    starts = np.flatnonzero(np.diff(alike, prepend=-1))
    counts = np.diff(starts, append=len(alike))
    own = np.add.reduceat(_cube(np.square(x.features).sum(axis=1) / x.features.shape[1] + 1), starts)
    for number in np.flatnonzero(counts > 1):
        images = x.features[starts[number] : starts[number] + counts[number]]
        own[number] = cubic(images, images).sum()
    of_blocks, pairs = (
        np.bincount(x.block[starts], weights=values).astype(np.float64) for values in (own, np.square(counts))
    )
    sums[np.diag_indices(len(sums))] -= of_blocks
    return Within(sums, x.sizes, of_blocks, pairs)


def _block_sums(x: Sample, y: Sample) -> Floats:
    """Sums (B, C) of the kernel over pairs of blocks."""
    sums = np.zeros((x.block[-1] + 1, y.block[-1] + 1))
    columns = np.flatnonzero(np.diff(y.block, prepend=-1))
    for first in range(0, len(x.features), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        kernel, block = cubic(x.features[rows], y.features), x.block[rows]
        if len(columns) < len(y.features):
            kernel = np.add.reduceat(kernel, columns, axis=1)
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        if len(starts) < len(block):
            kernel = np.add.reduceat(kernel, starts, axis=0)
        sums[block[starts]] += kernel
    return sums


def cubic(x: Floats, y: Floats) -> Floats:
    """k(a, b) (n, m) of features ``x`` (n, D) and ``y`` (m, D)."""
    return _cube(x @ y.T / x.shape[1] + 1)


def _cube(values: Floats) -> Floats:
    """Cubes; numpy's power takes twenty times as long."""
    cubes = values * values
    cubes *= values
    return cubes
