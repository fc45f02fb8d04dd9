"""How often the interval of the mean over readers holds the truth, and how often guessing readers are found to differ.

    python benchmarks/reader_study.py [--studies 1000]

Answers are drawn: the chance of a right one is logistic in a constant, a reader's ability and an image's ease, both
normal. Exit status 1 where guessing is called a difference in more than 5% of studies, beyond the simulation's error.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np
from scipy.special import expit

from mammogan.reader_study.pooling import pooled_accuracy

IMAGES = 100
LEVEL = 0.05
CASES = (("all guess", 0.0, 0.0, 0.0), ("alike", 0.8, 0.0, 0.5), ("readers differ", 0.8, 0.5, 0.5))
"""Name, constant, spread of readers, spread of images."""


def truth(constant: float, readers: float, images: float) -> float:
    """Share of right answers over all readers and images, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ expit(constant + math.hypot(readers, images) * nodes) / weights.sum())


def study(rng: np.random.Generator, count: int, constant: float, readers: float, images: float) -> np.ndarray:
    """Whether each answer is right, (readers, images)."""
    ability, ease = rng.normal(size=(count, 1)) * readers, rng.normal(size=IMAGES) * images
    return rng.random((count, IMAGES)) < expit(constant + ability + ease)


def main() -> int:
    """Print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    rng, broken = np.random.default_rng(0), False
    error = math.sqrt(LEVEL * (1 - LEVEL) / studies)
    print(f"| readers | answers | truth | interval holds it | width | differs from 50% |  (error {error:.3f})")
    print("|---|---|---|---|---|---|")
    for count in (2, 3, 5):
        for name, *spread in CASES:
            expected = truth(*spread)
            holds = found = width = 0.0
            for _ in range(studies):
                right = study(rng, count, *spread)
                ratings = np.where(right, 1, -1)
                pooled = pooled_accuracy(ratings[:, : IMAGES // 2], -ratings[:, IMAGES // 2 :], 1 - LEVEL, 0)
                low, high = pooled.rate.low or 0.0, pooled.rate.high or 1.0
                holds, width = holds + (low <= expected <= high), width + high - low
                found += pooled.p_guessing < LEVEL
            row = (f"{expected:.2f}", f"{holds / studies:.3f}", f"{width / studies:.2f}", f"{found / studies:.3f}")
            print(f"| {count} | {name} | {' | '.join(row)} |", flush=True)
            broken |= name == "all guess" and found / studies > LEVEL + 2 * error
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
