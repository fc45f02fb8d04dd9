"""Statistics of copying, from distances alone.

*Memorised*: with d_1 <= d_2 <= ... the distances of an image to the training images, it copies the nearest one when
d_1 < ALPHA * mean(d_1, ..., d_50) (Carlini et al. 2023, "Extracting training data from diffusion models", equation 1
with their ALPHA = 0.5 and 50 neighbours).

*Nearer to train*: how often the nearest real image is a training image, when as many training as held-out images are
at hand. With k of the n training images nearer than the nearest of the h held-out ones, h <= n, it is for one image

    1 - C(n - k, h) / C(n, h),

the chance that a random half-and-half comparison finds a training image first. Where the generator saw neither set,
both are exchangeable and the mean is 1/2, whatever the quality of the images.

*Repeated*: another synthetic image is nearer than ALPHA times what is usual between a training image and its 50
nearest others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mammogan.statistics import Estimate, Floats, blocks_of, numbered

ALPHA = 0.5
NEIGHBOURS = 50
BLOCKS = 20
DEALS = 200
SEED = 0
Flags = NDArray[np.bool_]


def copy_ratios(to_train: Floats) -> Floats:
    """d_1 / mean(d_1, ..., d_50), (m,), of distances (m, n) to the training images; below ALPHA it is a copy.

    Raises ValueError for fewer than 2 training images, which have no usual distance.
    """
    return to_train.min(axis=1) / np.maximum(_usual(to_train), np.finfo(float).tiny)


def _usual(distances: Floats) -> Floats:
    """Mean distance (m,) to the 50 nearest, or to all where there are fewer."""
    if distances.shape[1] < 2:
        raise ValueError(f"train has {distances.shape[1]} images: give at least 2")
    nearest = min(NEIGHBOURS, distances.shape[1])
    return np.partition(distances, nearest - 1, axis=1)[:, :nearest].mean(axis=1)


def repeated(among: Floats, train_train: Floats) -> Flags:
    """Whether each image (m,) has another one nearer than is usual between training images; distances (m, m).

    Each is compared with at most as many others as a training image has: among more images the nearest one is nearer.
    """
    limit = ALPHA * float(np.median(_usual(without_itself(train_train))))
    count, most = len(among), len(train_train)
    flags = np.empty(count, dtype=np.bool_)
    for block in blocks_of(count, -(-count // most)):
        flags[block] = without_itself(among[np.ix_(block, block)]).min(axis=1) < limit
    return flags


def without_itself(distances: Floats) -> Floats:
    """Distances (m, m - 1) of each image to the others."""
    count = len(distances)
    return distances[~np.eye(count, dtype=bool)].reshape(count, count - 1)


def rate(flags: Flags, confidence: float) -> Estimate:
    """Share of flags that are set, with the interval of ``clopper_pearson``."""
    return clopper_pearson(int(flags.sum()), len(flags), confidence)


def clopper_pearson(hits: int, count: int, confidence: float) -> Estimate:
    """Share of hits with the exact interval of Clopper and Pearson (1934)."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, count - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, count - hits, 1 - tail)) if hits < count else 1.0
    return Estimate(hits / count, low, high)


def images_needed(limit: float, confidence: float) -> int:
    """Fewest images without a hit whose interval ends within ``limit``, in (0, 1): 736 for 0.005 at 95%.

    Without a hit the upper end of n images is 1 - ((1 - confidence) / 2)^(1/n).
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log1p(-limit)) if limit < 1 else 1


def nearer_to_train(to_train: Floats, to_held: Floats) -> Floats:
    """Chance (m,) that the nearest real image is a training image, from distances (m, n) and (m, h)."""
    n, h = to_train.shape[1], to_held.shape[1]
    if h > n:
        return 1 - nearer_to_train(to_held, to_train)
    k = (to_train < to_held.min(axis=1, keepdims=True)).sum(axis=1)
    return 1 - _chance_of_none(n, h)[k]


def _chance_of_none(n: int, h: int) -> Floats:
    """C(n - k, h) / C(n, h) for k = 0, ..., n: a draw of h among n holds none of k."""
    k = np.arange(n)
    return np.concatenate([[1.0], np.cumprod(np.maximum(n - h - k, 0) / (n - k))])


def nearer_estimate(
    to_train: Floats, to_held: Floats, train_patients: Sequence[str], held_patients: Sequence[str], confidence: float
) -> Estimate:
    """Mean of ``nearer_to_train``, with the spread that it has when patients are dealt to both sides at random.

    Without copying, who was held out makes no difference, so dealing anew gives its distribution about 1/2 whatever the
    synthetic images are; a jackknife would take a thousand nearly equal ones for as many witnesses.
    """
    value = float(nearer_to_train(to_train, to_held).mean())
    distances = np.concatenate([to_train, to_held], axis=1)
    index = numbered([*train_patients, *held_patients])
    count = int(index.max()) + 1
    held_count = len(set(held_patients))
    rng = np.random.default_rng(SEED)
    dealt = []
    for _ in range(DEALS):
        held = np.isin(index, rng.permutation(count)[:held_count])
        dealt.append(float(nearer_to_train(distances[:, ~held], distances[:, held]).mean()))
    below, above = np.quantile(dealt, [(1 - confidence) / 2, (1 + confidence) / 2]) - 0.5
    return Estimate(value, max(0.0, float(value - above)), min(1.0, float(value - below)))
