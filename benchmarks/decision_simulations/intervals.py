"""The metrics' intervals over patients, and the reference that FID is read beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from decision_simulations.claims import Claim, Unit, mean_of
from decision_simulations.earlier_rules import fid_reference
from decision_simulations.worlds import DIMENSIONS, Patients, draw_fakes, draw_patients, shift_of
from mammogan.metrics.fid import frechet_distance, frechet_estimate, reference_within
from mammogan.metrics.kid import kernel_estimate
from mammogan.statistics import Estimate

PATIENTS, IMAGES, FAKES = 50, 4, 200
KID = 0.1
REALS = 200
Estimator = Callable[[Patients, np.ndarray], Estimate]


def simulate(repetitions: int, seed: int) -> Iterator[Claim]:
    """50 patients of four images who have half of their variance in common, against 200 generated images."""
    rng = np.random.default_rng([seed, 3])
    for metric, before, after in (
        ("KID", lambda real, fake: kernel_estimate(real.features, fake, 0.95),
         lambda real, fake: kernel_estimate(real.features, fake, 0.95, real.numbers)),
        ("FID", lambda real, fake: frechet_estimate(real.features, fake, 0.95),
         lambda real, fake: frechet_estimate(real.features, fake, 0.95, real.numbers)),
    ):  # fmt: skip
        old, new = _held(rng, repetitions, before, after)
        case = f"95% interval of {metric}, {PATIENTS} patients of {IMAGES} images: holds its expectation"
        yield Claim("intervals", case, mean_of(new), mean_of(old), least=0.93)
    yield _reference(rng, repetitions)


def _held(
    rng: np.random.Generator, repetitions: int, before: Estimator, after: Estimator
) -> tuple[list[bool], list[bool]]:
    """Which intervals hold the mean of all values, which is the expectation at these counts."""
    shift = shift_of(KID)
    drawn = [(draw_patients(rng, PATIENTS, IMAGES), draw_fakes(rng, shift, FAKES)) for _ in range(repetitions)]
    old, new = ([estimate(*draw) for draw in drawn] for estimate in (before, after))
    truth = float(np.mean([estimate.value for estimate in new]))
    return tuple([low <= truth <= high for _, low, high in estimates] for estimates in (old, new))


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
        "intervals", case, mean_of(np.array(new) / scale), mean_of(np.array(old) / scale), least=0.9, most=1.1,
        unit=Unit.NUMBER,
    )  # fmt: skip
