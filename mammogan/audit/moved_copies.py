"""Copies that were moved: shifted, mirrored, turned, scaled, cropped, brighter, of other contrast, inverted or noisy.

Every synthetic image is compared with every training image under every move (``alignment``), and its best match is
measured on its own scale: with z = artanh of a correlation,

    s = (z_best - median_t z_t) / (q90_t z_t - median_t z_t),

z_t being its coarse correlations with the training images t, and the denominator at least half of what is usual. A
smooth image is like all others and one full of noise is like none; on this scale both must stand out as much. What
stands out by chance is learnt from the real images: s of each against the training images of other patients. Such s
are taken for largest values, of a Gumbel distribution, whose median and 90th percentile give the threshold that all
synthetic images together exceed with 5% chance where none is a copy (1 - ``audit.confidence``; ``threshold``). Both
quantiles leave out the tail, in which a picture that stands under two patients would hide all copies.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammogan.audit import alignment
from mammogan.audit.alignment import Pictures
from mammogan.console import Advance, no_progress
from mammogan.device import float32_convolutions
from mammogan.statistics import Floats, Ints, numbered

QUERIES, REFERENCES, PAIRS = 128, 64, 16
"""Pictures, and pairs of them, that are prepared at once: 130 kB a query and 115 kB a reference."""
CANDIDATES = 3
"""Training images that are looked at finely for each image."""
FEWEST_TRAIN, FEWEST_UNRELATED = 20, 30
"""Training images that give an image its own scale, and real images from which chance is learnt, at least."""
MOST_UNRELATED = 400
"""Real images from which chance is learnt, evenly taken."""
LEAST_SPREAD = 0.5
"""Spread of an image, as a share of what is usual of real ones, at least: noise is unlike all training images alike."""
LARGEST = 0.999
"""Correlation from which on all are alike: artanh of 1 is infinite."""
QUANTILES = (0.5, 0.9)
"""Of the scores of unrelated images, by which the threshold is set."""
DRAWS, SEED = 10_000, 0


@dataclass(frozen=True)
class Matches:
    """The training image that each of m images is most like."""

    train: Ints
    """(m,), its index."""
    correlation: Floats
    """(m,), its absolute value, in [0, 1]."""
    excess: Floats
    """(m,), z_best - median_t z_t."""
    spread: Floats
    """(m,), q90_t z_t - median_t z_t."""

    def scores(self, least: float) -> Floats:
        """The score s (m,), with a spread of at least ``least``."""
        return self.excess / np.maximum(self.spread, least)


@dataclass(frozen=True)
class MovedCopies:
    """What the search found."""

    matches: Matches
    """Of the synthetic images."""
    score: Floats
    """(m,), s of each."""
    copied: NDArray[np.bool_]
    """(m,): whether each is taken for a copy of its match."""
    unrelated_copied: NDArray[np.bool_]
    """Whether each real image would be taken for a copy of another patient's."""
    threshold: float
    """Largest score that is no copy's."""


FineCorrelations = Callable[[Ints, Ints], Floats]
"""Fine correlations (P,) of queries with references, by the indices (P,) of either."""


def too_few(train_patients: Sequence[str], held_patients: Sequence[str]) -> str:
    """Why nothing can be said of so few real images, whose patients are given; empty where it can."""
    own = Counter(train_patients)
    others = [len(train_patients) - own[patient] for patient in [*train_patients, *held_patients]]
    usable = sum(count >= FEWEST_TRAIN for count in others)
    if usable >= FEWEST_UNRELATED:
        return ""
    return (
        f"chance is learnt from at least {FEWEST_UNRELATED} real images with {FEWEST_TRAIN} training images of other "
        f"patients; there are {usable}"
    )


def steps(train: int, held_out: int, fakes: int) -> int:
    """Steps that ``search`` reports for so many images."""
    return fakes + min(train + held_out, MOST_UNRELATED)


@float32_convolutions()
def search(
    train: Tensor, held_out: Tensor, fakes: Tensor, train_patients: Sequence[str], held_patients: Sequence[str],
    confidence: float, device: torch.device, advance: Advance = no_progress,
) -> MovedCopies:  # fmt: skip
    """Look for uint8 images (N, 1, H, W) that are moved copies; ``advance`` is told of each image.

    The sets are large enough, which ``too_few`` tells. Memory: 25 kB an image, and at most a hundred megabytes.
    """
    references = alignment.prepare(train, device)
    patients = numbered([*train_patients, *held_patients])
    own = patients[:, None] == patients[: len(train)][None]
    usable = np.flatnonzero((~own).sum(axis=1) >= FEWEST_TRAIN)
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), MOST_UNRELATED)).round().astype(int))]
    reals = torch.cat([train, held_out]) if len(held_out) else train
    sides = []
    for images, excluded in ((reals[torch.from_numpy(chosen)], own[chosen]), (fakes, None)):
        queries = alignment.prepare(images, device)
        coarse = coarse_correlations(queries, references, advance)
        fine = partial(fine_correlations, queries, references)
        sides.append(best_matches(coarse if excluded is None else np.where(excluded, np.nan, coarse), fine))
    return decide(*sides, confidence)


def decide(unrelated: Matches, synthetic: Matches, confidence: float) -> MovedCopies:
    """Which synthetic images are copies, by the matches of real images with those of other patients."""
    least = LEAST_SPREAD * float(np.median(unrelated.spread))
    by_chance, score = unrelated.scores(least), synthetic.scores(least)
    limit = threshold(by_chance, len(score), 1 - confidence)
    return MovedCopies(synthetic, score, score > limit, by_chance > limit, limit)


def threshold(unrelated: Floats, count: int, chance: float) -> float:
    """Score that the largest of ``count`` images exceeds with this ``chance``, by those of unrelated images (N,)."""
    middle, upper = np.quantile(unrelated, QUANTILES)
    return float(middle + _factor(len(unrelated), count, chance) * (upper - middle))


@cache
def _factor(unrelated: int, count: int, chance: float) -> float:
    """The threshold above the median, in units of the 90th percentile above it.

    Of Gumbel variables (largest - median) / (90th percentile - median) has the same distribution whatever their
    location and scale are. It is simulated, so that the threshold knows from how few images it was learnt; the largest
    of ``count`` is one of them shifted by log(``count``).
    """
    rng = np.random.default_rng(SEED)
    middle, upper = np.quantile(rng.gumbel(size=(DRAWS, unrelated)), QUANTILES, axis=1)
    largest = rng.gumbel(loc=math.log(count), size=DRAWS)
    return float(np.quantile((largest - middle) / (upper - middle), 1 - chance))


def best_matches(coarse: Floats, fine: FineCorrelations) -> Matches:
    """Best match of each query by its coarse correlations (M, N), NaN where a reference does not count."""
    count = min(CANDIDATES, coarse.shape[1])
    candidates = np.argpartition(np.where(np.isnan(coarse), -2.0, coarse), -count, axis=1)[:, -count:]
    queries = np.repeat(np.arange(len(coarse)), count)
    correlation = fine(queries, candidates.ravel()).reshape(len(coarse), count)
    correlation = np.where(np.isnan(np.take_along_axis(coarse, candidates, axis=1)), -1.0, correlation)
    place = correlation.argmax(axis=1)
    row = np.arange(len(coarse))
    middle, upper = np.nanquantile(_artanh(coarse), [0.5, 0.9], axis=1)
    best = correlation[row, place]
    return Matches(candidates[row, place], best, _artanh(best) - middle, upper - middle)


def _artanh(correlation: Floats) -> Floats:
    return np.arctanh(np.clip(correlation, -LARGEST, LARGEST))


def coarse_correlations(queries: Pictures, references: Pictures, advance: Advance = no_progress) -> Floats:
    """Largest coarse correlation (M, N), by absolute value, over all moves of each reference.

    ``advance`` is told of each query.
    """
    result = np.empty((len(queries), len(references)))
    for rows in _blocks(len(queries), QUERIES):
        windows = alignment.coarse_windows(_some(queries, rows))
        for columns in _blocks(len(references), REFERENCES):
            templates = alignment.coarse_templates(_some(references, columns))
            result[rows, columns] = alignment.coarse(windows, templates).cpu().numpy()
        advance(len(windows))
    return result


def fine_correlations(queries: Pictures, references: Pictures, query: Ints, reference: Ints) -> Floats:
    """Fine correlations (P,), by absolute value, of the queries with the references of these indices (P,)."""
    parts = []
    for chosen in _blocks(len(query), PAIRS):
        left = _some(queries, torch.from_numpy(query[chosen]))
        right = _some(references, torch.from_numpy(reference[chosen]))
        windows, templates = alignment.coarse_windows(left), alignment.coarse_templates(right)
        parts.append(alignment.fine(left, right, windows, templates).cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def _blocks(count: int, size: int) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def _some(pictures: Pictures, chosen: slice | Tensor) -> Pictures:
    return Pictures(pictures.shown[chosen], pictures.detail[chosen])
