"""A challenger and a champion before the project's own gate, on patients whose number is that of a small study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from decision_simulations.worlds import Patients, draw_fakes, draw_patients, shift_of
from mammogan.config import SelectConfig
from mammogan.metrics.kid import kernel_difference
from mammogan.results import Contest, Outcome, Quantity
from mammogan.selection.gates import better_than
from mammogan.statistics import Floats

PATIENTS, IMAGES, FAKES = 60, 2, 200
KID = 0.3
"""The first champion's."""
PILOTS = 500
SETTINGS = SelectConfig()


@dataclass(frozen=True)
class Stage:
    """Held-out patients, and the KID of the champion that is there at first."""

    real: Patients
    kid: float = KID

    def difference(self, challenger: Floats, champion: Floats) -> Contest:
        """The contest of two sets of generated images, as ``registry.reevaluation`` makes it."""
        real = self.real
        kid = kernel_difference(challenger, champion, real.features, SETTINGS.confidence, real.numbers)
        return Contest(
            "2", "1", SETTINGS.margin, SETTINGS.confidence,
            quantity=Quantity("kid", "simulated", "test"), value=kid.one, incumbent_value=kid.other,
            difference=kid.value, upper=kid.upper, images=len(real.features), patients=PATIENTS, fakes=FAKES,
        )  # fmt: skip

    def is_promoted(self, challenger: Floats, champion: Floats) -> bool:
        """Whether the gate lets the challenger pass."""
        return better_than(self.difference(challenger, champion)).outcome is Outcome.PASSED


def stage(rng: np.random.Generator) -> Stage:
    """New patients."""
    return Stage(draw_patients(rng, PATIENTS, IMAGES))


@cache
def standard_error(seed: int) -> float:
    """Of the difference of two generators of the champion's KID: the spread of 500 estimates."""
    rng = np.random.default_rng([seed, 0])
    shift = shift_of(KID)
    pilots = [stage(rng).difference(*(draw_fakes(rng, shift, FAKES) for _ in range(2))) for _ in range(PILOTS)]
    return float(np.std([contest.difference for contest in pilots], ddof=1))
