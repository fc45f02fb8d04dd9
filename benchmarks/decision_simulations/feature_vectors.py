"""Utility studies of feature vectors: a ridge logistic regression fitted to every arm and block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import expit

from decision_simulations.claims import Claim
from decision_simulations.setting import Setting
from decision_simulations.studies import BLOCKS, LEARNERS, Study, concluded, harm_claim, help_claim
from mammogan.statistics import Floats
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC
from mammogan.utility.held_out import HeldOut, validation_images

DIMENSIONS = 12
SHIFT = 0.35
"""Distance of the class means in each feature, in standard deviations."""
TRAIN, TEST = (120, 24), (60, 60)
"""Benign and malignant patients, one vector each."""
Vectors = Floats
Generator = Callable[[Vectors, int, np.random.Generator], Vectors]
"""Malignant training vectors, and how many to make -> vectors (M, D) that are handed over as malignant."""


def vectors(label: int, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors (count, D) of a class."""
    return rng.normal(label * SHIFT, 1, (count, DIMENSIONS))


def copies(malignant: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Training vectors again."""
    return malignant[rng.integers(len(malignant), size=count)]


def either_class(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors of which half are benign."""
    return np.concatenate([vectors(0, count // 2, rng), vectors(1, count - count // 2, rng)])


def noise(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors that follow no class."""
    return rng.normal(0, 1, (count, DIMENSIONS))


def truth(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """New vectors of the class, as of more patients."""
    return vectors(1, count, rng)


GENERATORS: dict[str, tuple[Generator, float]] = {
    "copies of training vectors": (copies, 0.05),
    "vectors of either class": (either_class, 0.05),
    "noise": (noise, 0.05),
    "new true vectors": (truth, math.inf),
}
"""What the vectors are, who makes them, and the bound of the share of "help"."""


def simulate(setting: Setting) -> Iterator[Claim]:
    """Generators that add nothing, and one that is the truth."""
    for number, (name, (generator, most)) in enumerate(GENERATORS.items()):
        rng = setting.rng(30 + number)
        studies = [study(generator, rng) for _ in range(setting.repetitions)]
        case = f"feature vectors, {sum(TEST)} test patients, synthetic ones are {name}"
        yield help_claim(case, studies, most=most)
        yield harm_claim(case, studies)


def study(generator: Generator, rng: np.random.Generator) -> Study:
    """A study of one drawn training set and test set."""
    pool = np.concatenate([vectors(label, count, rng) for label, count in enumerate(TRAIN)])
    labels = np.repeat([0, 1], TRAIN)
    test = HeldOut(np.repeat([0, 1], TEST), [f"p{number}" for number in range(sum(TEST))])
    test_vectors = np.concatenate([vectors(label, count, rng) for label, count in enumerate(TEST)])
    scores: dict[str, list[Floats]] = {arm: [] for arm in LEARNERS}
    for block in range(BLOCKS):
        learnt = ~validation_images(labels, [str(number) for number in range(len(labels))], 0.2, block)
        benign, malignant = (pool[learnt & (labels == label)] for label in (0, 1))
        synthetic = generator(malignant, TRAIN[0] - TRAIN[1], rng)
        filled = np.concatenate([malignant, synthetic])
        natural = len(malignant) / len(benign)
        ways = {
            REAL: (malignant, natural, False), OVERSAMPLED: (malignant, 1.0, False), AUGMENTED: (malignant, 1.0, True),
            SYNTHETIC: (filled, 1.0, False), BOTH: (filled, 1.0, True),
        }  # fmt: skip
        for arm, (rare, odds, augment) in ways.items():
            scores[arm].append(expit(test_vectors @ logistic(benign, rare, odds, augment, rng)))
    return concluded({arm: np.array(rows) for arm, rows in scores.items()}, test)


def logistic(benign: Vectors, rare: Vectors, odds: float, augment: bool, rng: np.random.Generator) -> Floats:
    """Coefficients (D,), without the intercept, which no AUC depends on; ``odds`` is the rare class's weight.

    Each fit draws its vectors anew, as a training by batches does; augmentation adds noise to them.
    """
    picked = [side[rng.integers(len(side), size=200)] for side in (benign, rare)]
    x = np.concatenate(picked) + (rng.normal(0, 0.5, (400, DIMENSIONS)) if augment else 0)
    y, weight = np.repeat([0, 1], 200), np.repeat([1.0, odds], 200)
    design = np.concatenate([x, np.ones((400, 1))], axis=1)
    result = np.zeros(DIMENSIONS + 1)
    for _ in range(6):
        p = expit(design @ result)
        information = design.T @ (design * (weight * p * (1 - p))[:, None]) + np.eye(DIMENSIONS + 1)
        result = result + np.linalg.solve(information, design.T @ (weight * (y - p)) - result)
    return result[:-1]
