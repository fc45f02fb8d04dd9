"""Utility studies whose classifiers have a known AUC: nothing helps, harm, help in one comparison, a planted effect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from decision_simulations.claims import Claim
from decision_simulations.setting import Setting
from decision_simulations.studies import (
    BLOCKS,
    LEARNERS,
    Study,
    concluded,
    effect_claim,
    harm_claim,
    help_claim,
    smallest_effect,
)
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC
from mammogan.utility.decision import POWER
from mammogan.utility.held_out import HeldOut

ALONE, BALANCED = 0.625, 0.69
"""AUC of real images alone, and of oversampled or augmented ones, as on real crops."""
LARGEST_PLANTED = 0.25
"""An effect above it would take AUCs beyond 0.94."""
Aucs = Mapping[str, float]


@dataclass(frozen=True)
class TestSet:
    """How many patients, and how many images each."""

    __test__ = False
    benign: int
    malignant: int
    images: int = 1
    mixed: bool = False
    """Whether one image in four of a malignant patient is benign."""

    def drawn(self, rng: np.random.Generator) -> HeldOut:
        """Labels and patients."""
        of_patient = np.repeat([0, 1], [self.benign, self.malignant])
        patients = np.repeat(np.arange(len(of_patient)), rng.integers(1, self.images + 1, len(of_patient)))
        labels = of_patient[patients]
        if self.mixed:
            labels = np.where(rng.uniform(size=len(labels)) < 0.25, 0, labels)
            labels[np.searchsorted(patients, self.benign)] = 1
        return HeldOut(labels, [f"p{number}" for number in patients])


SPREADS = {"patient": 0.8, "arm and patient": 0.25, "image": 0.4, "training": 0.15}
"""Standard deviations of a score: of the patient, shared by all arms; of arm and patient; of every image of every
training; and of a training's separation of the classes."""
SETS = {
    "43 patients (20 malignant)": TestSet(23, 20),
    "10 patients (5 malignant)": TestSet(5, 5),
    "112 patients (52 malignant) of 1 to 3 images, some with both classes": TestSet(60, 52, 3, mixed=True),
}


def simulate(setting: Setting) -> Iterator[Claim]:
    """Of every test set; the planted effect is the one that the studies of no effect name as their smallest."""
    for number, (name, of) in enumerate(SETS.items()):
        studies = partial(_studies, setting.repetitions, setting.rng(20 + number), of)
        case = f"{name}, synthetic images as good as oversampling"
        null = studies(0, 0)
        yield help_claim(case, null, most=0.05)
        yield effect_claim(case, null)
        case, worse = f"{name}, worse by 0.05", studies(-0.05, -0.05)
        yield help_claim(case, worse, most=0.05)
        yield harm_claim(case, worse)
        case = f"{name}, better than oversampling by 0.2, with augmentation no better"
        yield help_claim(case, studies(0.2, 0), most=0.05)
        effect = round(smallest_effect(null), 3)
        if effect < LARGEST_PLANTED:
            case = f"{name}, better by {effect:.3f} in both, the smallest effect named"
            yield help_claim(case, studies(effect, effect), least=POWER)


def _studies(
    repetitions: int, rng: np.random.Generator, of: TestSet, gain: float, gain_augmented: float
) -> list[Study]:
    return [study(levels(gain, gain_augmented), of, rng) for _ in range(repetitions)]


def levels(gain: float, gain_augmented: float) -> dict[str, float]:
    """AUC by arm: what synthetic images add to oversampling, and to augmentation."""
    return {REAL: ALONE, OVERSAMPLED: BALANCED, AUGMENTED: BALANCED,
            SYNTHETIC: BALANCED + gain, BOTH: BALANCED + gain_augmented}  # fmt: skip


def study(auc: Aucs, of: TestSet, rng: np.random.Generator) -> Study:
    """A study of arms whose AUC on new patients, one image each, is ``auc``, mean over trainings."""
    test = of.drawn(rng)
    index, count = test.patient_index, int(test.patient_index.max()) + 1
    variance = sum(SPREADS[name] ** 2 for name in ("patient", "arm and patient", "image"))
    shared = rng.normal(scale=SPREADS["patient"], size=count)[index]
    scores = {}
    for arm in LEARNERS:
        mean = norm.ppf(auc[arm]) * math.sqrt(2 * variance + SPREADS["training"] ** 2)
        separation = mean + rng.normal(scale=SPREADS["training"], size=(BLOCKS, 1))
        own = rng.normal(scale=SPREADS["arm and patient"], size=count)[index]
        noise = rng.normal(scale=SPREADS["image"], size=(BLOCKS, len(index)))
        scores[arm] = expit(separation * test.labels + shared + own + noise)
    return concluded(scores, test)
