"""How often a subgroup is called worse covered than the others: of generators without a fault, and of those with one.

    python benchmarks/subgroups.py --draws 200

Patients have two images each, which are alike; a quarter of the patients are the subgroup. Each line is a kind of
subgroup and of generator: how often its coverage is significantly worse (one subgroup, so that Holm's correction is
none), and how often the 95% intervals of D hold what D is in the mean, for coverage and for KID. A line without a fault
must be worse in at most 5% of the draws and 3 Monte-Carlo errors more, else the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from mammogan.metrics.subgroups import contrast, coverage_scores, kernel_scores
from mammogan.statistics import Floats

LIKENESS, SHARE, DIMENSIONS, FAKES = 0.6, 0.25, 8, 400


@dataclass(frozen=True)
class Line:
    """One kind of subgroup, and what is wrong with the generator."""

    title: str
    apart: float = 0.0
    """Standard deviations from the others to the subgroup."""
    spread: float = 1.0
    """Standard deviation of the subgroup, that of the others being 1."""
    missing: float = 0.0
    """Share of the subgroup that the generator does not make."""
    noise: float = 0.0
    """Standard deviation of noise on every fake."""
    patients: int = 60


LINES = (
    Line("like the others"),
    Line("apart", apart=4),
    Line("more varied", apart=1.5, spread=1.6),
    Line("tighter", apart=1.5, spread=0.5),
    Line("apart; noise on all fakes", apart=4, noise=0.5),
    Line("apart; half of it missing", apart=4, missing=0.5),
    Line("apart; 90% of it missing", apart=4, missing=0.9),
    Line("apart; missing", apart=4, missing=1),
    Line("near by; missing", apart=2, missing=1),
    Line("near by; missing; 150 patients", apart=2, missing=1, patients=150),
)


def draw(line: Line, rng: np.random.Generator) -> list[Floats]:
    """D, its ends and its p-value of coverage and of KID."""
    patients = np.repeat(np.arange(line.patients), 2)
    of_patient = rng.random(line.patients) < SHARE
    of_patient[:10] = True  # so that there are enough
    members = of_patient[patients]
    shared = rng.normal(size=(line.patients, DIMENSIONS))[patients]
    own = rng.normal(size=(len(patients), DIMENSIONS))
    real = _placed(np.sqrt(LIKENESS) * shared + np.sqrt(1 - LIKENESS) * own, members, line)
    made = rng.random(FAKES) < of_patient.mean() * (1 - line.missing)
    fake = _placed(rng.normal(size=(FAKES, DIMENSIONS)), made, line)
    fake += line.noise * rng.normal(size=fake.shape)
    coverage, _ = coverage_scores(real, fake, patients, seed=0)
    found = [contrast(each, members, patients, 0.95) for each in (coverage, kernel_scores(real, fake, patients))]
    return [np.array([*each.difference, each.below]) for each in found]


def _placed(values: Floats, members: np.ndarray, line: Line) -> Floats:
    values = np.where(members[:, None], values * line.spread, values)
    values[:, 0] += line.apart * members
    return values


def main() -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    draws = parser.parse_args().draws
    limit = 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    print("| subgroup; generator | mean D of coverage | called worse | intervals that hold the mean: coverage | KID |")
    print("|---|---|---|---|---|")
    status = 0
    for number, line in enumerate(LINES):
        found = np.array([draw(line, np.random.default_rng([number, seed])) for seed in range(draws)])
        means = found[:, :, 0].mean(axis=0)
        held = ((found[:, :, 1] <= means) & (means <= found[:, :, 2])).mean(axis=0)
        worse = float((found[:, 0, 3] <= 0.05).mean())
        print(f"| {line.title} | {means[0]:+.3f} | {worse:.1%} | {held[0]:.1%} | {held[1]:.1%} |", flush=True)
        if not line.missing and worse > limit:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
