"""Intervals for statistics whose terms share images: the jackknife over images or patients, and means over image pairs.

A mean over pairs d(i, j) is not a mean of independent terms: every image takes part in many pairs. Writing
d(i, j) = theta + a_i + b_j + r_ij, its variance over n and m images and P balanced pairs is
var(a)/n + var(b)/m + var(r)/P. Leaving one image out at a time measures the first two terms and counts the third
twice (once from either side); the variance of the pairs as if they were independent, s^2/P, is what is counted too
often, so it is taken off once (the dyadic-robust variance of Fafchamps and Gubert 2007, and of Cameron, Gelbach and
Miller 2011 for two samples). A bootstrap over images needs many more draws and counts var(r) three times.

Where images come in patients, a patient is left out with all its images: those of one patient are no independent
witnesses. What is said of images above then holds of patients, and of pairs that of all pairs of two patients together.

Samples of images are drawn without regard to the other; ends are Student-t with Satterthwaite's degrees of freedom, on
a logarithmic or logit scale where the quantity has a range, and of shares and mean counts Wilson's: no end can leave
the range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammogan.errors import NotEnoughDataError

LARGEST_EXPONENT = 100.0
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


def cluster_blocks(clusters: Ints, most: int) -> list[Ints]:
    """Indices of images dealt into at most ``most`` blocks that hold whole clusters; ``clusters`` (N,) numbers them."""
    _, index = np.unique(clusters, return_inverse=True)
    return [np.flatnonzero(np.isin(index, block)) for block in blocks_of(int(index.max(initial=-1)) + 1, most)]


def halved(clusters: Ints, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which images (N,) are in the first of two random halves of the clusters, that of fewer by one if any."""
    _, index = np.unique(clusters, return_inverse=True)
    count = int(index.max(initial=-1)) + 1
    return np.isin(index, rng.permutation(count)[: count // 2])


def combine(
    value: float, parts: Sequence[Variance], confidence: float, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """Interval of an estimate whose variance is the sum of independent parts (Satterthwaite 1946).

    Of a quantity between ``least`` and ``most`` it is made where the range has no end, by the delta method: of
    log(value - least) where only ``least`` is finite, of log((value - least) / (most - value)) where both are. At an
    end of the range, where that scale has none, the interval reaches as far as the error does on the quantity's own.
    """
    from scipy.special import stdtrit

    total, freedom = total_variance(parts)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(total)
    above, below = value - least, most - value
    if math.isinf(least) or above <= 0 or below <= 0:
        return Estimate(value, min(max(value - half, least), value), max(min(value + half, most), value))
    if math.isinf(most):
        # a number past the exponent's range is no end that anybody could use
        factor = math.exp(min(half / above, LARGEST_EXPONENT))
        return Estimate(value, least + above / factor, least + above * factor)
    reach = min(half * (most - least) / (above * below), LARGEST_EXPONENT)
    ends = (above / (above + below * math.exp(shift)) for shift in (reach, -reach))
    low, high = (least + (most - least) * share for share in ends)
    return Estimate(value, min(low, value), max(high, value))


def at_least(parts: Sequence[Variance], least: float) -> list[Variance]:
    """Independent parts, raised alike to a sum of ``least``, which the variance is known to have, if they are short."""
    total, freedom = total_variance(parts)
    if total <= 0:
        return [Variance(least, freedom)]
    return [Variance(part.variance * max(1.0, least / total), part.freedom) for part in parts]


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


def one_sided(value: float, parts: Sequence[Variance]) -> tuple[float, float]:
    """p-values of "not above 0" and "not below 0" of an estimate whose variance is the sum of independent parts.

    Each part has Student's t with its own degrees of freedom, and the p-values are averaged by the parts' shares, as
    Cochran and Cox (1957, Experimental Designs, section 4.14) average the quantiles. Satterthwaite's degrees of freedom
    are many where the variance of a few trainings came out low by chance, and so rejected 5.6% of 3000 studies where 5%
    was asked. 0.5 each where nothing varies.
    """
    from scipy.special import stdtr

    total = sum(part.variance for part in parts)
    if total <= 0:
        return 0.5, 0.5
    t = value / math.sqrt(total)
    below, above = (sum(part.variance / total * float(stdtr(part.freedom, end)) for part in parts) for end in (-t, t))
    return below, above


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for their family by Holm's step-down procedure, in [0, 1], in the order given."""
    order = sorted(range(len(values)), key=lambda number: values[number])
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, number in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[number]))
        adjusted[number] = largest
    return adjusted


def pair_mean(
    values: Floats,
    left: Ints,
    right: Ints,
    *,
    one_sample: bool,
    confidence: float,
    least: float = -math.inf,
    most: float = math.inf,
    clusters: Ints | None = None,
) -> Estimate:
    """Mean over image pairs with the interval that knows which pairs share an image or a patient.

    ``values`` (P,), in [``least``, ``most``], are those of the pairs (``left[p]``, ``right[p]``); with ``one_sample``
    both index the same images, else two samples. ``clusters`` numbers the patient of each image that ``left`` indexes;
    without it each is of its own. A single pair has no interval. Raises ValueError for no pair at all.
    """
    pairs = len(values)
    if pairs == 0:
        raise ValueError("pairs=0: a mean needs at least 1 pair")
    mean = float(values.mean())
    if clusters is not None:
        left = clusters[left]
        right = clusters[right] if one_sample else right
    excess = values - mean
    sides = [(left, right)] if one_sample else [(left,), (right,)]
    parts = [_leave_one_out(mean, excess, side) for side in sides]
    if any(part is None for part in parts):
        return Estimate(mean, None, None)
    known = [part for part in parts if part is not None]
    independent = _independent(excess, left, right, one_sample=one_sample)
    total = sum(part.variance for part in known)
    # sharing images can only add to the variance of independent pairs, so that is the least it may be
    shrink = max(total - independent, independent) / total if total > 0 else 0.0
    shrunk = [Variance(part.variance * shrink, part.freedom) for part in known]
    return combine(mean, shrunk, confidence, least, most)


def _leave_one_out(mean: float, excess: Floats, sides: tuple[Ints, ...]) -> Variance | None:
    """Jackknife over the images or patients that ``sides`` names for each pair, one or two.

    None where leaving one out leaves no pair.
    """
    most = max(int(side.max()) for side in sides) + 1
    sums = sum(np.bincount(side, weights=excess, minlength=most) for side in sides)
    counts = sum(np.bincount(side, minlength=most) for side in sides)
    if len(sides) > 1:  # a pair of one patient's images leaves once
        own = sides[0] == sides[1]
        sums = sums - np.bincount(sides[0][own], weights=excess[own], minlength=most)
        counts = counts - np.bincount(sides[0][own], minlength=most)
    sums, counts = np.asarray(sums)[counts > 0], np.asarray(counts)[counts > 0]
    if len(counts) < 2 or (counts >= len(excess)).any():
        return None
    return jackknife(mean, mean - sums / (len(excess) - counts))


def _independent(excess: Floats, left: Ints, right: Ints, *, one_sample: bool) -> float:
    """Variance of the mean as if all pairs were independent, but for those of the same two images or patients."""
    first, second = (np.minimum(left, right), np.maximum(left, right)) if one_sample else (left, right)
    _, pair = np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)
    sums = np.bincount(pair, weights=excess)
    return float(sums @ sums) / len(excess) ** 2 * len(sums) / max(len(sums) - 1, 1)


def numbered(names: Sequence[str]) -> Ints:
    """Number (N,) of each name, 0 for the first, in the order in which they appear: what they are called is nothing."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def placements(these: Floats | Ints, others: Floats | Ints) -> Floats:
    """Share of the others (..., M) below each of these (..., N), ties counting half; by ranks (Sun and Xu 2014)."""
    from scipy.stats import rankdata

    together = rankdata(np.concatenate([these, others], axis=-1), axis=-1)[..., : these.shape[-1]]
    return (together - rankdata(these, axis=-1)) / others.shape[-1]


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
