"""Intervals for statistics whose terms share images: the jackknife over images, and means over image pairs.

A mean over pairs d(i, j) is not a mean of independent terms: every image takes part in many pairs. Writing
d(i, j) = theta + a_i + b_j + r_ij, its variance over n and m images and P balanced pairs is
var(a)/n + var(b)/m + var(r)/P. Leaving one image out at a time measures the first two terms and counts the third
twice (once from either side); the variance of the pairs as if they were independent, s^2/P, is what is counted too
often, so it is taken off once (the dyadic-robust variance of Fafchamps and Gubert 2007, and of Cameron, Gelbach and
Miller 2011 for two samples). A bootstrap over images needs many more draws and counts var(r) three times.

Samples of images are drawn without regard to the other; ends are Student-t with Satterthwaite's degrees of freedom,
and of shares and mean counts Wilson's, which cannot leave their range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammogan.errors import NotEnoughDataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Variance(NamedTuple):
    """Variance of an estimate that one sample of images contributes, and its degrees of freedom."""

    variance: float
    freedom: float


class Estimate(NamedTuple):
    """A value with its interval; the ends are None where the sample is too small for one."""

    value: float
    low: float | None
    high: float | None


def jackknife(value: float, without: Floats, sizes: Ints | None = None) -> Variance:
    """Variance from the G values that leave one block of images out each.

    ``value`` is the statistic of all n images, ``without`` (G,) those without each block and ``sizes`` (G,) the
    blocks' numbers of images, 1 each by default: the delete-m_j jackknife of Busing, Meijer and van der Leeden (1999),
    equations 7 to 9, which is the ordinary jackknife for blocks of one. Raises NotEnoughDataError for fewer than 2
    blocks.
    """
    blocks = len(without)
    if blocks < 2:
        raise NotEnoughDataError(f"blocks={blocks}: the jackknife needs at least 2")
    sizes = np.ones(blocks, dtype=np.int64) if sizes is None else sizes
    share = sizes / sizes.sum()
    pseudo = value / share - (1 / share - 1) * without
    centre = blocks * value - ((1 - share) * without).sum()
    return Variance(float(np.mean((pseudo - centre) ** 2 / (1 / share - 1))), blocks - 1)


def blocks_of(count: int, most: int) -> list[Ints]:
    """Indices 0..count-1 dealt into at most ``most`` blocks, sizes equal within one, every block non-empty."""
    return [np.arange(first, count, min(count, most)) for first in range(min(count, most))]


def combine(
    value: float, parts: Sequence[Variance], confidence: float, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """Interval of an estimate whose variance is the sum of independent parts (Satterthwaite 1946).

    Ends beyond ``least`` and ``most``, between which the quantity lies, are brought there: no less often is it inside.
    """
    from scipy.special import stdtrit

    total, freedom = total_variance(parts)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(total)
    return Estimate(value, min(max(value - half, least), value), max(min(value + half, most), value))


def at_least(parts: Sequence[Variance], least: float) -> list[Variance]:
    """The sum of independent parts, raised to ``least`` where it falls short of what the variance is known to have."""
    total, freedom = total_variance(parts)
    return [Variance(max(total, least), freedom)]


def score_interval(value: float, effective: float, freedom: float, confidence: float, most: float = 1.0) -> Estimate:
    """Interval of an estimate in [0, ``most``], 1 for a share and infinity for a mean count, that stays inside.

    Wilson's (1927): the values t that lie within Student's quantile times sqrt(t (1 - t / most) / E) of the estimate.
    E is the *effective* number of images, at which independent ones would have the estimate's variance, as surveys use
    it (Korn and Graubard 1998, Survey Methodology 24).
    """
    from scipy.special import stdtrit

    pull = float(stdtrit(freedom, (1 + confidence) / 2)) ** 2 / effective
    centre, half = value + pull / 2, math.sqrt(pull * value * (1 - value / most) + pull**2 / 4)
    low, high = (end / (1 + pull / most) for end in (centre - half, centre + half))
    # rounding may carry an end past the value or the range
    return Estimate(value, min(max(low, 0.0), value), max(min(high, most), value))


def combine_within(value: float, parts: Sequence[Variance], confidence: float, count: int) -> Estimate:
    """``combine`` for a share: the score interval, with ``count`` images in effect where no variance shows."""
    total, freedom = total_variance(parts)
    spread = value * (1 - value)
    effective = spread / total if spread > 0 and total > 0 else count
    return score_interval(value, effective, freedom, confidence)


def total_variance(parts: Sequence[Variance]) -> tuple[float, float]:
    """Sum of the variances with Satterthwaite's degrees of freedom."""
    total = sum(part.variance for part in parts)
    squares = sum(part.variance**2 / part.freedom for part in parts)
    return total, total**2 / squares if squares > 0 else sum(part.freedom for part in parts)


def pair_mean(
    values: Floats,
    left: Ints,
    right: Ints,
    *,
    one_sample: bool,
    confidence: float,
    least: float = -math.inf,
    most: float = math.inf,
) -> Estimate:
    """Mean over image pairs with the interval that knows which pairs share an image.

    ``values`` (P,), in [``least``, ``most``], are those of the pairs (``left[p]``, ``right[p]``); with ``one_sample``
    both index the same images, else two samples. A single pair has no interval. Raises ValueError for no pair at all.
    """
    pairs = len(values)
    if pairs == 0:
        raise ValueError("pairs=0: a mean needs at least 1 pair")
    mean = float(values.mean())
    sides = [np.concatenate([left, right])] if one_sample else [left, right]
    excess = values - mean
    repeated = np.concatenate([excess, excess]) if one_sample else excess
    parts = [_leave_one_out(mean, repeated, side, pairs) for side in sides]
    if any(part is None for part in parts):
        return Estimate(mean, None, None)
    known = [part for part in parts if part is not None]
    independent = float(excess @ excess) / max(pairs - 1, 1) / pairs
    total = sum(part.variance for part in known)
    # sharing images can only add to the variance of independent pairs, so that is the least it may be
    shrink = max(total - independent, independent) / total if total > 0 else 0.0
    shrunk = [Variance(part.variance * shrink, part.freedom) for part in known]
    return combine(mean, shrunk, confidence, least, most)


def _leave_one_out(mean: float, excess: Floats, images: Ints, pairs: int) -> Variance | None:
    """Jackknife over the images of one side that take part in a pair; None where leaving one out leaves nothing."""
    sums = np.bincount(images, weights=excess)
    counts = np.bincount(images)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if len(counts) < 2 or (counts >= pairs).any():
        return None
    return jackknife(mean, mean - sums / (pairs - counts))


def numbered(names: Sequence[str]) -> Ints:
    """Number (N,) of each name, 0 for the first, in the order in which they appear: what they are called is nothing."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def pairs_within(count: int, most: int, seed: int) -> tuple[Ints, Ints]:
    """Index pairs i != j of one sample: all of them if ``most`` allows, else ``most`` that use every image alike.

    The sampled design is circulant on shuffled images, pair (i, i + s) for shifts s = 1, 2, ...: no pair comes twice.
    """
    if count * (count - 1) // 2 <= most:
        left, right = np.triu_indices(count, k=1)
        return left.astype(np.int64), right.astype(np.int64)
    order = np.random.default_rng(seed).permutation(count)
    k = np.arange(most)
    return order[k % count], order[(k + k // count + 1) % count]


def pairs_between(count_left: int, count_right: int, most: int, seed: int) -> tuple[Ints, Ints]:
    """Index pairs of two samples: all of them if ``most`` allows, else ``most`` distinct ones that use images alike."""
    k = np.arange(min(most, count_left * count_right))
    rng = np.random.default_rng(seed)
    # k -> (k mod n, k mod m) repeats after lcm(n, m) steps; shifting by one from there on reaches every pair once
    shift = k // math.lcm(count_left, count_right)
    return rng.permutation(count_left)[k % count_left], rng.permutation(count_right)[(k + shift) % count_right]
