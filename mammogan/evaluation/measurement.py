"""Fake images against real ones: every number with its reference, its interval and its protocol.

Precision, recall, density, coverage, KID and FID compare features; LPIPS and MS-SSIM compare images pair by pair: real
with fake, fake with fake and, as the reference that a perfect generator would reach, real with real. What cannot be
measured is an omission, with the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mammogan import console
from mammogan.config import EvaluateConfig
from mammogan.device import pick_device
from mammogan.evaluation.image_sources import RealImages
from mammogan.features.extractor import Extractor, extract, extract_cached, load_extractor
from mammogan.image_tensors import checked_images, same_size
from mammogan.metrics import fid, kid, lpips, ms_ssim, prdc
from mammogan.metrics.lpips import Embedded, Perceptual, embedded, load_perceptual, mean_between, mean_within
from mammogan.results import Direction, Measurement, Network, Omission, Quantity, SubsetScores
from mammogan.statistics import Estimate, Floats, Ints, halved, pair_mean, pairs_between, pairs_within

logger = logging.getLogger(__name__)

HALVINGS = 5
CPU_BATCH = 6
NETWORKS = 2
"""The extractor and that of LPIPS."""
IMPLEMENTATIONS = {
    "kid": "unbiased cubic-kernel MMD of all pairs but those of one patient, float64; jackknife over patients and "
    "fakes, at least the variance of their pairs",
    "fid": "nuclear norm of centred features, float64; jackknife over up to 20 blocks of patients and of fakes, of the "
    "logarithm",
    **dict.fromkeys(
        prdc.NAMES, "5 nearest neighbours, float64; score interval from random halves of patients and fakes"
    ),
    "lpips": "all pairs through block sums; jackknife over up to 20 blocks of patients and of fakes, of the logarithm",
    "ms_ssim": "11x11 Gaussian, 5 scales, [0, 1], valid windows; jackknife over patients and fakes that share pairs, "
    "of the logit",
}
ENLARGED = {
    "lpips": (lpips.SMALLEST_SIDE, lpips.ENLARGED_SIDE),
    "ms_ssim": (ms_ssim.SMALLEST_SIDE, ms_ssim.ENLARGED_SIDE),
}
"""By metric: the side below which images are enlarged, and to which."""
UNKNOWN = Estimate(math.nan, None, None)


@dataclass(frozen=True)
class EvaluationNetworks:
    """Networks and settings that every measurement of an evaluation shares."""

    extractor: Extractor
    perceptual: Perceptual
    device: torch.device
    config: EvaluateConfig

    @property
    def batch_size(self) -> int:
        """Images per forward pass: a CPU is as fast with few, and needs less memory."""
        return batch_size_on(self.device, self.config)

    @property
    def described(self) -> tuple[Network, Network]:
        """Extractor and LPIPS network, as an evaluation carries them."""
        networks = [Network(item.name, item.sha256, item.note) for item in (self.extractor, self.perceptual)]
        return networks[0], networks[1]


def batch_size_on(device: torch.device, config: EvaluateConfig) -> int:
    """Images per forward pass of an extractor on that device."""
    return min(config.batch_size, CPU_BATCH) if device.type == "cpu" else config.batch_size


def load_networks(config: EvaluateConfig) -> EvaluationNetworks:
    """Extractor and LPIPS network on the configured device, saying which weights they are. Raises as the loaders do."""
    device = pick_device(config.device, "evaluate.device")
    perceptual = load_perceptual(config.lpips_weights, device, config.lpips_sha256)
    loaded = load_extractor(config, device), perceptual
    for network in loaded:
        logger.info(f"{network.name}: {network.note}")
    return EvaluationNetworks(*loaded, device, config)


@dataclass(frozen=True)
class ImageSet:
    """Images (N, 1, H, W), uint8, with what the networks make of them."""

    images: Tensor
    features: Floats
    embedded: Embedded | None
    """None for a set that no pair metric uses, and for one without images."""
    patients: Ints
    """(N,): number of each image's patient; of generated images each its own."""

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.images)


def image_set(
    given: RealImages | Tensor, networks: EvaluationNetworks, advance: console.Advance, *, pairs: bool = True
) -> ImageSet:
    """Featurise uint8 images (N, 1, H, W), real or, as a bare tensor, generated ones; N may be 0.

    Features of real images are kept on disk, and with ``pairs`` what LPIPS needs is made too. ``advance`` counts
    the images that a network has seen.
    """
    real = isinstance(given, RealImages)
    images = given.images if isinstance(given, RealImages) else given
    patients = given.patients if isinstance(given, RealImages) else np.arange(len(images))
    if not len(images):
        return ImageSet(images, np.empty((0, 0)), None, patients)
    size, perceptual = networks.batch_size, networks.perceptual
    features = (extract_cached if real else extract)(networks.extractor, images, size, advance)
    embedding = embedded(perceptual, images, size, advance, patients) if pairs else None
    return ImageSet(images, features, embedding, patients)


def steps_of(by_pairing: Mapping[str, RealImages], main: str = "") -> int:
    """Steps by which ``measure_reals`` advances: both networks see the main set, the extractor alone the others."""
    counts = {pairing: len(images) for pairing, images in by_pairing.items()}
    return sum(counts.values()) + (NETWORKS - 1) * counts[main or next(iter(counts))]


@dataclass(frozen=True)
class Reals:
    """The real side of an evaluation, featurised once, with its references."""

    sets: Mapping[str, ImageSet]
    """By pairing."""
    main_pairing: str
    """Pairing of the set that the pair metrics and the neighbourhoods use."""
    references: Mapping[tuple[str, str], float | None]
    """Real against real of the feature metrics, by (metric, pairing)."""
    pair_references: Mapping[str, Estimate | None]
    """Real with real of the pair metrics, by metric."""

    @property
    def main(self) -> ImageSet:
        """The set that the pair metrics and the neighbourhoods use."""
        return self.sets[self.main_pairing]


def measure_reals(
    by_pairing: Mapping[str, RealImages],
    networks: EvaluationNetworks,
    advance: console.Advance = console.no_progress,
    main: str = "",
) -> Reals:
    """Featurise the real images and measure real against real; ``main`` is the main pairing, by default the first.

    The reference of the first pairing compares random halves of its patients (mean of 5 halvings); that of a later one
    compares the first set with it, because new real images are what a perfect generator would give. FID depends on how
    many images there are: its reference is fitted over parts of several sizes and read at the counts of the value.
    """
    base, *others = by_pairing
    main = main or base
    sets = {
        pairing: image_set(images, networks, advance, pairs=pairing == main) for pairing, images in by_pairing.items()
    }
    first, config = sets[base], networks.config
    references: dict[tuple[str, str], float | None] = {}
    references["kid", base] = _halves_reference(first, _kid, config.seed, least=fid.FEWEST)
    references["fid", base] = fid.reference_within(first.features, config.fakes, config.seed, first.patients)
    for pairing in others:
        x, y = sets[pairing].features, first.features
        enough = min(len(x), len(y)) >= fid.FEWEST
        references["kid", pairing] = _kid(y, x, first.patients, sets[pairing].patients) if enough else None
        between = fid.reference_between(x, y, config.fakes, config.seed, first.patients) if enough else None
        references["fid", pairing] = between
    for number, metric in enumerate(prdc.NAMES):
        share = functools.partial(_neighbourhood, number)
        references[metric, main] = _halves_reference(sets[main], share, config.seed, least=prdc.FEWEST)
    pair_references = {metric: _within(metric, sets[main], networks) for metric in ("lpips", "ms_ssim")}
    return Reals(sets, main, references, pair_references)


def _kid(one: Floats, other: Floats, patients: Ints, other_patients: Ints) -> float:
    return kid.kernel_distance(one, other, patients=patients, other_patients=other_patients)


def _neighbourhood(number: int, real: Floats, fake: Floats, *_: Ints) -> float:
    return float(prdc.neighbourhoods(prdc.distances(real, fake))[number])


def _halves_reference(
    real: ImageSet, distance: Callable[[Floats, Floats, Ints, Ints], float], seed: int, least: int
) -> float | None:
    """Mean distance of halves that share no patient; None where a half would have fewer than ``least`` images.

    ``distance`` is given the features of both, and the patients of both.
    """
    rng = np.random.default_rng(seed)
    halves = [halved(real.patients, rng) for _ in range(HALVINGS)]
    if min(min(half.sum(), (~half).sum()) for half in halves) < least:
        return None
    sides = ((half, ~half) for half in halves)
    return float(np.mean([
        distance(real.features[one], real.features[other], real.patients[one], real.patients[other])
        for one, other in sides
    ]))  # fmt: skip


def _within(metric: str, images: ImageSet, networks: EvaluationNetworks) -> Estimate | None:
    """Mean over pairs of two images of one set; None for fewer than 2."""
    config = networks.config
    if images.count < 2 or images.embedded is None:
        return None
    if metric == "lpips":
        return mean_within(images.embedded, config.confidence)
    left, right = pairs_within(images.count, config.pairs, config.seed)
    values = ms_ssim.ms_ssim(images.images, images.images, left, right, networks.device)
    return pair_mean(
        values, left, right, one_sample=True, confidence=config.confidence, least=0, most=1, clusters=images.patients
    )


def _between(metric: str, real: ImageSet, fake: ImageSet, networks: EvaluationNetworks) -> Estimate:
    config = networks.config
    if metric == "lpips":
        assert real.embedded is not None
        assert fake.embedded is not None
        return mean_between(real.embedded, fake.embedded, config.confidence)
    left, right = pairs_between(real.count, fake.count, config.pairs, config.seed)
    values = ms_ssim.ms_ssim(real.images, fake.images, left, right, networks.device)
    return pair_mean(
        values, left, right, one_sample=False, confidence=config.confidence, least=0, most=1, clusters=real.patients
    )


class Reading(NamedTuple):
    """What a measure gives: its estimate, and further figures."""

    estimate: Estimate
    subsets: SubsetScores | None = None
    extrapolated: float | None = None


@dataclass(frozen=True)
class Measure:
    """One number to be taken: its names, what it needs and how it is computed."""

    quantity: Quantity
    direction: Direction
    counts: tuple[int, int]
    """Real and fake images that take part."""
    least: tuple[int, int]
    """Fewest real and fake images that it needs."""
    reference: float | None
    read: Callable[[], Reading]


def measures(reals: Reals, fake: ImageSet, networks: EvaluationNetworks) -> Iterable[Measure]:
    """Every number that is taken of ``fake``, in the order of the paper's tables."""
    confidence, seed = networks.config.confidence, networks.config.seed

    def read_kid(real: ImageSet) -> Reading:
        subsets = kid.kernel_subsets(real.features, fake.features)
        scores = SubsetScores(subsets.mean, subsets.std, subsets.size)
        estimate = kid.kernel_estimate(real.features, fake.features, confidence, real.patients)
        return Reading(estimate, subsets=scores)

    def read_fid(real: ImageSet) -> Reading:
        extrapolated = fid.frechet_extrapolated(real.features, fake.features, seed)
        estimate = fid.frechet_estimate(real.features, fake.features, confidence, real.patients)
        return Reading(estimate, extrapolated=extrapolated)

    @functools.cache
    def shares() -> dict[str, Estimate]:
        return prdc.neighbourhood_estimates(reals.main.features, fake.features, confidence, seed, reals.main.patients)

    def feature_measure(
        metric: str, pairing: str, direction: Direction, least: int, read: Callable[[], Reading]
    ) -> Measure:
        quantity = Quantity(metric, networks.extractor.name, pairing)
        counts = reals.sets[pairing].count, fake.count
        return Measure(quantity, direction, counts, (least, least), reals.references[metric, pairing], read)

    for metric, read in (("kid", read_kid), ("fid", read_fid)):
        for pairing, real in reals.sets.items():
            yield feature_measure(metric, pairing, Direction.LOWER, 2, functools.partial(read, real))
    for metric in ("lpips", "ms_ssim"):
        yield from _pair_measures(metric, reals, fake, networks)
    for metric in prdc.NAMES:
        read_share = functools.partial(lambda metric: Reading(shares()[metric]), metric)
        yield feature_measure(metric, reals.main_pairing, Direction.HIGHER, prdc.FEWEST, read_share)


def _pair_measures(metric: str, reals: Reals, fake: ImageSet, networks: EvaluationNetworks) -> Iterable[Measure]:
    real, reference = reals.main, reals.pair_references[metric]
    extractor = networks.perceptual.name if metric == "lpips" else ""
    for pairing, counts, least, estimate in (
        ("real_fake", (real.count, fake.count), (1, 1), lambda: _between(metric, real, fake, networks)),
        ("fake_fake", (0, fake.count), (0, 2), lambda: _within(metric, fake, networks)),
        ("real_real", (real.count, 0), (2, 0), lambda: reference),
    ):
        value = None if reference is None else reference.value
        read = functools.partial(lambda estimate: Reading(estimate() or UNKNOWN), estimate)
        quantity = Quantity(metric, extractor, pairing)
        yield Measure(quantity, Direction.MATCH_REFERENCE, counts, least, value, read)


def carry_out(measure: Measure, networks: EvaluationNetworks, side: int) -> Measurement | Omission:
    """The measurement, or why there is none. ``side`` is the images' smaller side in pixels."""
    for kind, count, least in zip(("real", "fake"), measure.counts, measure.least, strict=True):
        if count < least:
            return Omission(measure.quantity.key, f"{count} {kind} images: at least {least} are needed")
    reading = measure.read()
    value, low, high = reading.estimate
    if not math.isfinite(value):
        return Omission(measure.quantity.key, "the value is not finite")
    smallest, enlarged = ENLARGED.get(measure.quantity.metric, (0, 0))
    note = f"; enlarged from {side} to {enlarged} px" if side < smallest else ""
    return Measurement(
        quantity=measure.quantity,
        value=value,
        low=low,
        high=high,
        confidence=networks.config.confidence,
        reference=measure.reference,
        direction=measure.direction,
        n_real=measure.counts[0],
        n_fake=measure.counts[1],
        seed=networks.config.seed,
        implementation=IMPLEMENTATIONS[measure.quantity.metric] + note,
        subsets=reading.subsets,
        extrapolated=reading.extrapolated,
    )


@dataclass(frozen=True)
class Comparison:
    """What was measured of one set of generated images, and what could not be."""

    measurements: tuple[Measurement, ...] = ()
    omitted: tuple[Omission, ...] = ()

    def at(self, epoch: int) -> Comparison:
        """The same, of the snapshot of an epoch."""
        return Comparison(
            tuple(dataclasses.replace(item, epoch=epoch) for item in self.measurements),
            tuple(dataclasses.replace(item, epoch=epoch) for item in self.omitted),
        )


def compare(
    reals: Reals, fakes: Tensor, networks: EvaluationNetworks, advance: console.Advance = console.no_progress
) -> Comparison:
    """Everything that is measured of uint8 ``fakes`` (N, 1, H, W) against the reals.

    ``advance`` moves by two steps an image, one for each network. Raises ValueError for images of another kind or size.
    """
    return compare_set(reals, fake_set(reals, fakes, networks, advance), networks)


def fake_set(
    reals: Reals, fakes: Tensor, networks: EvaluationNetworks, advance: console.Advance = console.no_progress
) -> ImageSet:
    """What the networks make of uint8 ``fakes`` (N, 1, H, W). Raises and advances as ``compare``."""
    checked_images("fake", fakes)
    same_size(reals.main.images, fakes)
    return image_set(fakes, networks, advance)


def compare_set(reals: Reals, fake: ImageSet, networks: EvaluationNetworks) -> Comparison:
    """``compare`` of images that ``fake_set`` gave to the networks."""
    side = min(fake.images.shape[-2:])
    results = [carry_out(measure, networks, side) for measure in measures(reals, fake, networks)]
    return Comparison(
        tuple(item for item in results if isinstance(item, Measurement)),
        tuple(item for item in results if isinstance(item, Omission)),
    )
