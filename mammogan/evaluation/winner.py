"""The winner measured anew, once, on test images that neither trained nor chose it.

The figure by which a snapshot wins is that of the best of many, and so too good in the mean. Here it draws
``evaluate.fakes`` images from latents of their own and every metric is measured against the test images of the class,
of patients who have none in train or validation. KID and FID are measured against the train images too, by the same
draw, which tells whether it favours them. Subgroups of the test images are measured by it as well.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from mammogan import console, storage
from mammogan.config import EvaluateConfig
from mammogan.data.dataset import Dataset
from mammogan.errors import typed_reason
from mammogan.evaluation.image_sources import RealImages
from mammogan.evaluation.incumbents import latent_seed
from mammogan.evaluation.measurement import NETWORKS, compare_set, fake_set, load_networks, measure_reals, steps_of
from mammogan.evaluation.subgroups import measure_subgroups
from mammogan.metrics.kid import FEWEST_FOR_INTERVAL
from mammogan.models.generator import load_generator, sample
from mammogan.results import Candidate, HeldOutSet, Omission, Unmeasured, WinnerResult

logger = logging.getLogger(__name__)

ROLE = "winner"
"""Role of its latents: neither those that ranked the snapshots nor those of any other step."""
TRAIN, TEST = "train", "test"
FRD = Omission(
    "frd/frd_test",
    "not done: the Frechet radiomic distance needs pyradiomics, no release of which can be installed as a dependency",
)
"""Konz, Osuala et al. 2024, arXiv 2412.01496; docs/metrics.md has what was tried."""


def held_out_set(real: Dataset) -> HeldOutSet:
    """The test images among the real ones of a class, looked at by nobody yet."""
    held_out = real.held_out
    if not len(held_out):
        return HeldOutSet("", 0, 0, 0)
    return HeldOutSet(held_out.source_digest, len(held_out), len(set(held_out.patients)), 0)


def measure_winner(
    snapshot: Path, candidate: Candidate, real: Dataset, test_set: HeldOutSet, config: EvaluateConfig
) -> WinnerResult:
    """Every metric of the snapshot against the test images among ``real``, the real ones of its class.

    Where they are too few for an interval it says so, and nothing is measured. Raises as the networks' loaders and
    ``load_generator`` do, and ValueError for images of another size than the snapshot's.
    """
    blank = unmeasured(snapshot, candidate, test_set, config, Unmeasured.FAILED, "")
    if test_set.patients < FEWEST_FOR_INTERVAL:
        kind = Unmeasured.TOO_FEW_PATIENTS if test_set.images else Unmeasured.NO_IMAGES
        reason = (
            f"{test_set.images} test images of {test_set.patients} patients who have none in train or validation: an "
            f"interval needs {FEWEST_FOR_INTERVAL} patients; use more data or data.split=patient"
        )
        return dataclasses.replace(blank, unmeasured=kind, reason=reason)
    networks, generator = load_networks(config), load_generator(snapshot)
    by_pairing = {TRAIN: RealImages.of(real.train), TEST: RealImages.of(real.held_out)}
    steps = steps_of(by_pairing, TEST) + NETWORKS * config.fakes
    with console.progress(f"measure the winner {blank.trial.name}", steps, unit="image passes") as advance:
        reals = measure_reals(by_pairing, networks, advance, main=TEST)
        fakes = sample(generator.to(networks.device), config.fakes, blank.latent_seed, config.batch_size)
        fake = fake_set(reals, fakes.cpu(), networks, advance)
        compared = compare_set(reals, fake, networks).at(candidate.epoch)
    subgroups = measure_subgroups(real.held_out, reals.main, fake.features, networks)
    extractor, lpips = networks.described
    measured = dataclasses.replace(
        blank,
        measurements=compared.measurements,
        omitted=(*compared.omitted, FRD),
        extractor=extractor,
        lpips=lpips,
        subgroups=subgroups,
        unmeasured=None,
    )
    if len(measured.figures()) == len(candidate.deciding):
        return measured
    reasons = "; ".join(f"{item.key}: {item.reason}" for item in compared.omitted)
    return dataclasses.replace(measured, unmeasured=Unmeasured.FAILED, reason=f"not measured: {reasons}")


def unmeasured(
    snapshot: Path, candidate: Candidate, test_set: HeldOutSet, config: EvaluateConfig, why: Unmeasured, reason: str
) -> WinnerResult:
    """The result of a winner that has no figure on test images."""
    return WinnerResult(
        gp_lambda=candidate.gp_lambda,
        seed=candidate.seed,
        epoch=candidate.epoch,
        snapshot_sha256=storage.sha256_of(snapshot),
        latent_seed=latent_seed(config.seed, ROLE),
        test_set=test_set,
        selected_by=tuple(candidate.decided_by()),
        unmeasured=why,
        reason=reason,
    )


def failed(
    snapshot: Path, candidate: Candidate, test_set: HeldOutSet, config: EvaluateConfig, error: Exception
) -> WinnerResult:
    """The result of a winner whose measurement raised ``error``."""
    return unmeasured(snapshot, candidate, test_set, config, Unmeasured.FAILED, typed_reason(error))
