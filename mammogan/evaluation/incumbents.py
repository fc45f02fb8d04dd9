"""Two generators measured on the same held-out images, to tell whether the KID of one is lower than the other's."""

from __future__ import annotations

from dataclasses import dataclass

from mammogan import console
from mammogan.config import SEEDS, EvaluateConfig, digest
from mammogan.device import pick_device
from mammogan.evaluation.image_sources import RealImages
from mammogan.evaluation.measurement import batch_size_on
from mammogan.features.extractor import extract, extract_cached, load_extractor
from mammogan.metrics.kid import KernelDifference, kernel_difference
from mammogan.models.generator import Generator, sample


@dataclass(frozen=True)
class KidDifference:
    """KID of one generator less that of another, and what it rests on."""

    extractor: str
    """Name of the features."""
    difference: KernelDifference


def compare_generators(
    one: Generator, other: Generator, real: RealImages, config: EvaluateConfig, confidence: float
) -> KidDifference:
    """The difference of KID on the same reals, with its one-sided upper end at ``confidence``.

    Each generator draws ``evaluate.fakes`` images from latents of its own, which no ranking of snapshots has seen: the
    best of many snapshots is so in part by the latents that it was ranked with. Raises as the extractor's loader does.
    """
    device = pick_device(config.device, "evaluate.device")
    extractor, batch = load_extractor(config, device), batch_size_on(device, config)
    with console.progress("measure the champion again", 2 * config.fakes + len(real), unit="images") as advance:
        reals = extract_cached(extractor, real.images, batch, advance)
        drawn = []
        for role, generator in (("challenger", one), ("champion", other)):
            fakes = sample(generator.to(device), config.fakes, latent_seed(config.seed, role), config.batch_size)
            drawn.append(extract(extractor, fakes, batch, advance))
    return KidDifference(extractor.name, kernel_difference(*drawn, reals, confidence, real.patients))


def latent_seed(seed: int, role: str) -> int:
    """Seed of a role's latents, from a digest: another one for each ``evaluate.seed``, and seldom a small number."""
    return int(digest([role, seed]), 16) % SEEDS
