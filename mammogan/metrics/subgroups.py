"""Whether generated images serve one subgroup of the real images worse than the others.

The generator is unconditional, so a subgroup S of the reals x_i is compared with all its images. What it gives is no
measure of its fault: a rare or varied subgroup is hard for real images too. So each x_i is asked the same question of
the generated images and of real images of *other patients* in their place, f_i and r_i. A generator without a fault
draws from the distribution of the reals, so that f_i and r_i have one distribution for every image, whatever its
subgroup. A fault that all subgroups share moves f_i - r_i for all of them alike. What is asked is hence

    D = mean over S of (f_i - r_i) - mean over the other images of (f_i - r_i),

a difference of differences (Angrist and Pischke 2009, Mostly Harmless Econometrics, section 5.2).

**Coverage and recall** (Naeem et al. 2020, Kynkaanniemi et al. 2019). Patients are parted at random, in 50 ways. Of one
half B each patient gives one image, the fakes as many, so that both are samples of one size without twins; i of the
other half A is covered where one of them lies nearer than the 5th neighbour of i in A of another patient, and recalled
where i lies within one of their balls. f_i and r_i are means over the ways.

**KID.** With k the kernel of ``kid``, f_i = -2 mean over fakes of k(x_i, y_j), r_i = -2 mean over images of other
patients of k(x_i, x_j): the parts of MMD^2(S, fakes) and MMD^2(S, reals of other patients) that depend on S and on the
images compared with; the others cancel in D.

Intervals are those of a jackknife over 20 blocks of patients, each of which leaves S, the others and the images in the
fakes' place at once, plus one over 20 blocks of fakes; the ways of parting stay the same. Neighbours are not smooth, so
that it is wide rather than narrow: docs/metrics.md has the figures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mammogan.metrics import kid, prdc
from mammogan.statistics import (
    Estimate,
    Floats,
    Ints,
    Variance,
    at_least,
    blocks_of,
    cluster_blocks,
    combine,
    combine_within,
    jackknife,
    one_sided,
)

BLOCKS, WAYS = 20, 50
FEWEST_PATIENTS = 10
"""Of a subgroup, and of the others: with fewer the interval rests on hardly any blocks."""
FEWEST_IN_ALL = 2 * (prdc.K + 2)
"""Patients of all images, so that each half holds the neighbours that are counted."""
FEWEST_FAKES = prdc.FEWEST

Bools = NDArray[np.bool_]


class Scores(NamedTuple):
    """What each of n real images gives, with all images and without each block; NaN where an image is left out."""

    fake: Floats
    """(1 + G + H, n): f_i of all images, without each of G blocks of patients, without each of H blocks of fakes."""
    real: Floats
    """(1 + G + H, n): r_i likewise."""
    patient_blocks: int
    """G."""


class Contrast(NamedTuple):
    """A subgroup and the other images."""

    difference: Estimate
    """D."""
    below: float
    """One-sided p-value of "D is not below 0"."""
    above: float
    """One-sided p-value of "D is not above 0"."""


class KernelValue(NamedTuple):
    """KID of a subgroup."""

    value: Estimate
    reference: float
    """The same with real images of other patients in place of the fakes."""


def coverage_scores(real: Floats, fake: Floats, patients: Ints, seed: int) -> tuple[Scores, Scores]:
    """Coverage and recall of features ``real`` (n, D) by ``fake`` (m, D), of each image in [0, 1].

    ``patients`` (n,) numbers the patient of each real image. Raises ValueError as ``prdc.distances`` does, and for
    fewer than 14 patients.
    """
    known = prdc.distances(real, fake)
    if (count := len(np.unique(patients))) < FEWEST_IN_ALL:
        raise ValueError(f"patients={count}: two halves with their neighbours need at least {FEWEST_IN_ALL}")
    ways = _ways(patients, len(fake), seed)
    versions = np.array([_covered(known, patients, ways, *kept) for kept in _kept(patients, len(fake))])
    groups = len(cluster_blocks(patients, BLOCKS))
    return Scores(versions[:, 0], versions[:, 1], groups), Scores(versions[:, 2], versions[:, 3], groups)


def kernel_scores(real: Floats, fake: Floats, patients: Ints) -> Scores:
    """f_i and r_i of KID, of features ``real`` (n, D) and ``fake`` (m, D); the less, the nearer."""
    among, across = kid.cubic(real, real), kid.cubic(real, fake)
    among[patients[:, None] == patients] = np.nan
    by_fake, by_real = [], []
    for images, fakes in _kept(patients, len(fake)):
        left = np.where(images, 0.0, np.nan)
        by_fake.append(-2 * across[:, fakes].mean(axis=1) + left)
        by_real.append(-2 * np.nanmean(among[:, images], axis=1) + left)
    return Scores(np.array(by_fake), np.array(by_real), len(cluster_blocks(patients, BLOCKS)))


def contrast(scores: Scores, members: Bools, patients: Ints, confidence: float) -> Contrast:
    """D of the subgroup ``members`` (n,), which must have images and leave some."""
    excess = scores.fake - scores.real
    values = _means(excess, members) - _means(excess, ~members)
    fewest = min(_count(patients, members), _count(patients, ~members))
    # where all patients show the same, nothing varies; no less than if one of them had none of it
    parts = at_least(_parts(values, scores.patient_blocks, fewest), (float(values[0]) / fewest) ** 2)
    above, below = one_sided(float(values[0]), parts)
    return Contrast(combine(float(values[0]), parts, confidence), below, above)


def share(scores: Scores, members: Bools, patients: Ints, confidence: float) -> tuple[Estimate, float]:
    """Mean of f_i over a subgroup, a share, with its interval in [0, 1]; and that of r_i, its reference."""
    values = _means(scores.fake, members)
    count = _count(patients, members)
    parts = _parts(values, scores.patient_blocks, count)
    reference = float(_means(scores.real[:1], members)[0])
    return combine_within(float(values[0]), parts, confidence, count), reference


def kernel_value(real: Floats, fake: Floats, patients: Ints, members: Bools, confidence: float) -> KernelValue:
    """KID of the subgroup ``members`` (n,) of ``real`` and all of ``fake``."""
    value = kid.kernel_estimate(real[members], fake, confidence, patients[members])
    among = kid.cubic(real, real)
    apart = patients[:, None] != patients
    own = among[members][:, members][apart[members][:, members]].mean()
    reference = own + among[apart].mean() - 2 * among[members][apart[members]].mean()
    return KernelValue(value, float(reference))


def _kept(patients: Ints, fakes: int) -> list[tuple[Bools, Bools]]:
    """Reals (n,) and fakes (m,) that remain: all, those without each block of patients, those without one of fakes."""
    everybody, all_fakes = np.ones(len(patients), dtype=bool), np.ones(fakes, dtype=bool)
    kept = [(everybody, all_fakes)]
    kept += [(_without(everybody, block), all_fakes) for block in cluster_blocks(patients, BLOCKS)]
    return kept + [(everybody, _without(all_fakes, block)) for block in blocks_of(fakes, BLOCKS)]


def _without(chosen: Bools, block: Ints) -> Bools:
    left = chosen.copy()
    left[block] = False
    return left


class _Way(NamedTuple):
    """One way to part the patients."""

    others: Ints
    """One image of each patient of B."""
    asked: Bools
    """(n,): the images of A."""
    fakes: Ints
    """All fakes in the order in which they are taken."""


def _ways(patients: Ints, fakes: int, seed: int) -> list[_Way]:
    rng = np.random.default_rng(seed)
    ways = []
    for _ in range(WAYS):
        order = rng.permutation(len(patients))  # so that a patient with more images is drawn more often, as a fake is
        _, first = np.unique(patients[order], return_index=True)
        others = order[np.sort(first)[: len(first) // 2]]
        ways.append(_Way(others, ~np.isin(patients, patients[others]), rng.permutation(fakes)))
    return ways


def _covered(known: prdc.Distances, patients: Ints, ways: list[_Way], images: Bools, fakes: Bools) -> Floats:
    """Means (4, n) over the ways: covered by fakes, by reals, recalled by fakes, by reals; NaN where never asked."""
    sums, counts = np.zeros((4, len(patients))), np.zeros(len(patients))
    for way in ways:
        asked, others = np.flatnonzero(way.asked & images), way.others[images[way.others]]
        drawn = way.fakes[fakes[way.fakes]][: len(others)]
        others = others[: len(drawn)]
        own = patients[asked][:, None] == patients[asked]
        reach = prdc.radii(np.where(own, np.inf, known.real[np.ix_(asked, asked)]))[:, None]
        by_fake, by_real = known.across[np.ix_(asked, drawn)], known.real[np.ix_(asked, others)]
        fake_reach = prdc.radii(known.fake[np.ix_(drawn, drawn)])
        real_reach = prdc.radii(known.real[np.ix_(others, others)])
        sums[:, asked] += [
            ((distance < within) | (distance == 0)).any(axis=1)
            for distance, within in (
                (by_fake, reach), (by_real, reach), (by_fake, fake_reach), (by_real, real_reach),
            )
        ]  # fmt: skip
        counts[asked] += 1
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _means(values: Floats, members: Bools) -> Floats:
    """Means (V,) of values (V, n) over the members that were asked."""
    return np.nanmean(values[:, members], axis=1)


def _count(patients: Ints, members: Bools) -> int:
    return len(np.unique(patients[members]))


def _parts(values: Floats, patient_blocks: int, patients: int) -> list[Variance]:
    """Jackknives over the blocks of patients and of fakes; ``patients`` are those that the value rests on."""
    whole = float(values[0])
    of_patients = jackknife(whole, values[1 : 1 + patient_blocks])
    of_fakes = jackknife(whole, values[1 + patient_blocks :])
    return [Variance(of_patients.variance, min(of_patients.freedom, patients - 1)), of_fakes]
