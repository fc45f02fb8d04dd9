"""The metrics' intervals over patients, and the reference that FID is read beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from decision_simulations.claims import Claim, Decision, Figure, Unit, mean_of
from decision_simulations.earlier_rules import fid_reference
from decision_simulations.setting import Setting
from decision_simulations.worlds import DIMENSIONS, draw_fakes, draw_patients, shift_of
from mammogan.metrics.fid import frechet_distance, frechet_estimate, reference_within
from mammogan.metrics.kid import kernel_estimate
from mammogan.statistics import Estimate

Estimator = Callable[..., Estimate]
SHAPES = ((50, 4), (15, 8))
"""Patients, and images of each."""
FAKES = 200
KID = 0.1
REALS = 200
CONFIDENCE = 0.95


def simulate(setting: Setting) -> Iterator[Claim]:
    """Patients who have half of their images' variance in common, against 200 generated images."""
    rng = setting.rng(3)
    for patients, images in SHAPES:
        old, new = _estimates(rng, setting.repetitions, kernel_estimate, patients, images)
        case = f"95% interval of KID, {patients} patients of {images} images: holds the truth"
        yield Claim(Decision.INTERVALS, case, _held(new, KID), _held(old, KID), least=0.93)
    patients, images = SHAPES[0]
    old, new = _estimates(rng, setting.repetitions, frechet_estimate, patients, images)
    # FID has another expectation at every count
    expected = float(np.mean([estimate.value for estimate in new]))
    case = f"95% interval of FID, {patients} patients of {images} images: holds its expectation"
    yield Claim(Decision.INTERVALS, case, _held(new, expected), _held(old, expected), least=0.93)
    yield _reference(rng, setting.repetitions)


def _estimates(
    rng: np.random.Generator, repetitions: int, estimate: Estimator, patients: int, images: int
) -> tuple[list[Estimate], list[Estimate]]:
    """Estimates that take each image for a patient's own, and those by patient."""
    shift = shift_of(KID)
    old, new = [], []
    for _ in range(repetitions):
        real, fakes = draw_patients(rng, patients, images), draw_fakes(rng, shift, FAKES)
        old.append(estimate(real.features, fakes, CONFIDENCE))
        new.append(estimate(real.features, fakes, CONFIDENCE, real.numbers))
    return old, new


def _held(estimates: list[Estimate], truth: float) -> Figure:
    return mean_of([low is not None and high is not None and low <= truth <= high for _, low, high in estimates])


def _reference(rng: np.random.Generator, repetitions: int) -> Claim:
    """Over what FID of as many other real images is on average."""
    old, new, truth = [], [], []
    for number in range(repetitions):
        real, other = (rng.normal(size=(count, DIMENSIONS)) for count in (REALS, FAKES))
        old.append(fid_reference(real, number))
        new.append(reference_within(real, FAKES, number))
        truth.append(frechet_distance(real, other))
    scale = float(np.mean(truth))
    case = f"FID's reference of {REALS} reals and {FAKES} fakes, over the FID that other real images have"
    return Claim(
        Decision.INTERVALS, case, mean_of(np.array(new) / scale), mean_of(np.array(old) / scale), least=0.9, most=1.1,
        unit=Unit.NUMBER,
    )  # fmt: skip
