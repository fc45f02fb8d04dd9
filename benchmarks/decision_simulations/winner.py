"""The best of 99 snapshots: whether the interval of the figure that is registered holds the winner's true KID."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.contests import FAKES, IMAGES, KID, PATIENTS, standard_error
from decision_simulations.setting import Setting
from decision_simulations.worlds import draw_fakes, draw_patients, shift_of
from mammogan.metrics.kid import kernel_estimate
from mammogan.statistics import Estimate, Floats

SNAPSHOTS = 99
"""Three lambdas by three seeds by eleven epochs."""
SPREADS = (("equal", 0.0), ("within 1 standard error of each other", 1.0))
CONFIDENCE = 0.95
LEAST, MOST = 0.93, 0.97


def simulate(setting: Setting) -> Iterator[Claim]:
    """Snapshots are ranked on 60 validation patients of two images; the winner is measured on 60 other patients."""
    error = standard_error(setting.seed)
    for number, (name, errors) in enumerate(SPREADS):
        rng = setting.rng(4 + number)
        kids = KID + errors * error * np.linspace(0, 1, SNAPSHOTS)
        shifts = [shift_of(kid) for kid in kids]
        old, new = zip(*(_selected(rng, kids, shifts) for _ in range(setting.repetitions)), strict=True)
        case = f"best of {SNAPSHOTS} snapshots whose KIDs are {name}: its 95% interval holds the truth"
        yield Claim(Decision.WINNER, case, mean_of(new), mean_of(old), least=LEAST, most=MOST)


def kernel_distances(real: Floats, fakes: Floats) -> Floats:
    """``kernel_distance`` (S,) of S sets of fakes (S, M, D), but for the reals' own term, which ranks nothing."""
    _, count, width = fakes.shape
    own = _cubes(fakes @ fakes.swapaxes(1, 2) / width + 1)
    alike = _cubes(np.square(fakes).sum(axis=2) / width + 1).sum(axis=1)
    across = _cubes(fakes @ real.T / width + 1).mean(axis=(1, 2))
    return (own.sum(axis=(1, 2)) - alike) / (count * (count - 1)) - 2 * across


def _cubes(values: Floats) -> Floats:
    return values * values * values


def _selected(rng: np.random.Generator, kids: Floats, shifts: Sequence[float]) -> tuple[bool, bool]:
    """Whether the figure that selected holds the winner's KID, and whether that of new patients and images does."""
    validation, test = (draw_patients(rng, PATIENTS, IMAGES) for _ in range(2))
    fakes = np.stack([draw_fakes(rng, shift, FAKES) for shift in shifts])
    best = int(np.argmin(kernel_distances(validation.features, fakes)))
    selecting = kernel_estimate(validation.features, fakes[best], CONFIDENCE, validation.numbers)
    fresh = draw_fakes(rng, shifts[best], FAKES)
    registered = kernel_estimate(test.features, fresh, CONFIDENCE, test.numbers)
    return _holds(selecting, kids[best]), _holds(registered, kids[best])


def _holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None  # noqa: PT018  (both samples are large enough)
    return estimate.low <= truth <= estimate.high
