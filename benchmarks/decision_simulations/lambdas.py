"""Gradient-penalty weights compared: what is found where one is better, and what where none is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.earlier_rules import lambdas_found_worse
from decision_simulations.setting import Setting
from mammogan.results import Direction, Evaluation, Measurement, Quantity, TrialStatus
from mammogan.selection.comparison import compare_lambdas

SEEDS = 3
BETTER = 3.0
"""Residual standard deviations by which the first lambda is better than all others."""
BLOCK_SD = 2.0
"""What a seed does to all lambdas alike, in residual standard deviations."""
TIMES = 5
"""Draws of a case for each repetition: a test at exactly its level is told from one above it by many draws only."""
Cells = Mapping[tuple[float, int], float]


def simulate(setting: Setting) -> Iterator[Claim]:
    """Normal runs of three seeds; intervals and tests of all pairs at 95% together."""
    rng = setting.rng(2)
    repetitions = TIMES * setting.repetitions
    for lambdas in (3, 5):
        drawn = [_draw(rng, lambdas, BETTER) for _ in range(repetitions)]
        case = f"one of {lambdas} better by 3 residual deviations, 3 seeds: a given other found worse"
        new, old = ([(0.0, 1.0) in rule(cells) for cells in drawn] for rule in (_pairs_apart, lambdas_found_worse))
        yield Claim(Decision.LAMBDAS, case, mean_of(new), mean_of(old), least=0.5)
    for lambdas, failed in ((3, 0), (5, 0), (3, 1), (5, 2)):
        drawn = [_draw(rng, lambdas, 0.0, failed) for _ in range(repetitions)]
        missing = f", {failed} of the runs failed" if failed else ""
        case = f"{lambdas} equal ones, 3 seeds{missing}: any found better (family-wise error)"
        new, old = ([bool(rule(cells)) for cells in drawn] for rule in (_pairs_apart, lambdas_found_worse))
        yield Claim(Decision.LAMBDAS, case, mean_of(new), mean_of(old), most=0.05)


def _draw(rng: np.random.Generator, lambdas: int, better: float, failed: int = 0) -> Cells:
    """Scores by (lambda, seed), without as many runs of the first seeds, each of another lambda, as failed."""
    values = 10 + rng.normal(size=(lambdas, SEEDS)) + BLOCK_SD * rng.normal(size=SEEDS)
    values[0] -= better
    absent = {(float(number), number % SEEDS) for number in range(failed)}
    cells = {(float(row), block): float(values[row, block]) for row in range(lambdas) for block in range(SEEDS)}
    return {cell: value for cell, value in cells.items() if cell not in absent}


def _pairs_apart(cells: Cells) -> set[tuple[float, float]]:
    """Pairs (better, worse) by the project's comparison."""
    compared = compare_lambdas([_evaluation(*cell, value) for cell, value in cells.items()], "kid", "train")
    return {(item.better, item.one + item.other - item.better) for item in compared if item.better is not None}


def _evaluation(gp_lambda: float, seed: int, value: float) -> Evaluation:
    measured = Measurement(
        quantity=Quantity("kid", "x", "train"), value=value, low=None, high=None, confidence=0.95, reference=0.0,
        direction=Direction.LOWER, n_real=1, n_fake=1, seed=0, implementation="", epoch=100,
    )  # fmt: skip
    return Evaluation(gp_lambda, seed, TrialStatus.FINISHED, measurements=(measured,))
