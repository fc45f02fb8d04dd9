"""The best of 99 snapshots: whether the interval of the figure that is registered holds the winner's true KID."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.contests import FAKES, IMAGES, KID, PATIENTS, standard_error
from decision_simulations.setting import Setting
from decision_simulations.worlds import draw_fakes, draw_patients, shift_of
from mammogan.metrics.kid import kernel_distance, kernel_estimate
from mammogan.statistics import Estimate

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
        old, new = zip(*(_selected(rng, kids) for _ in range(setting.repetitions)), strict=True)
        case = f"best of {SNAPSHOTS} snapshots whose KIDs are {name}: its 95% interval holds the truth"
        yield Claim(Decision.WINNER, case, mean_of(new), mean_of(old), least=LEAST, most=MOST)


def _selected(rng: np.random.Generator, kids: np.ndarray) -> tuple[bool, bool]:
    """Whether the figure that selected holds the winner's KID, and whether that of new patients and images does."""
    validation, test = (draw_patients(rng, PATIENTS, IMAGES) for _ in range(2))
    fakes = [draw_fakes(rng, shift_of(kid), FAKES) for kid in kids]
    best = int(np.argmin([kernel_distance(validation.features, each) for each in fakes]))
    selecting = kernel_estimate(validation.features, fakes[best], CONFIDENCE, validation.numbers)
    fresh = draw_fakes(rng, shift_of(kids[best]), FAKES)
    registered = kernel_estimate(test.features, fresh, CONFIDENCE, test.numbers)
    return _holds(selecting, kids[best]), _holds(registered, kids[best])


def _holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None  # noqa: PT018  (both samples are large enough)
    return estimate.low <= truth <= estimate.high
