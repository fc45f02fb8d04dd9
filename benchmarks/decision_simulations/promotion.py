"""One retrain: how often a challenger that is no better becomes champion, and how often one that is better does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.contests import FAKES, stage, standard_error
from decision_simulations.earlier_rules import is_promoted
from decision_simulations.setting import Setting
from decision_simulations.worlds import draw_fakes, shift_of
from mammogan.metrics.kid import kernel_estimate

SPEEDS = (("twice as fast", 0.5), ("1% faster", 0.99), ("as fast", 1.0), ("1% slower", 1.01))
WORSE = (("equal", 0.0), ("1 standard error worse", 1.0))
BETTER = (1.0, 2.0, 3.0, 4.0)


def simulate(setting: Setting) -> Iterator[Claim]:
    """Challengers against a champion of KID 0.3 on 60 patients of two images."""
    error = standard_error(setting.seed)
    for name, errors in WORSE:
        new, old = _trials(errors * error, setting, [cost for _, cost in SPEEDS])
        for (speed, _), before in zip(SPEEDS, old, strict=True):
            case = f"challenger {name}, trained {speed}: promoted"
            yield Claim(Decision.PROMOTION, case, mean_of(new), mean_of(before), most=0.05)
    for errors in BETTER:
        new, old = _trials(-errors * error, setting, [1.0])
        case = f"challenger {errors:g} standard errors better, trained as fast: promoted (power)"
        yield Claim(Decision.PROMOTION, case, mean_of(new), mean_of(old[0]))


def _trials(worse: float, setting: Setting, costs: list[float]) -> tuple[list[bool], list[list[bool]]]:
    """Promotions by the new rule, and by the old one for each of the challenger's costs, the champion's being 1."""
    rng = np.random.default_rng([setting.seed, round(1e9 * abs(worse)), worse < 0])
    new, old = [], [[] for _ in costs]
    for _ in range(setting.repetitions):
        arena = stage(rng)
        pair = [draw_fakes(rng, shift_of(kid), FAKES) for kid in (arena.kid + worse, arena.kid)]
        new.append(arena.is_promoted(*pair))
        estimates = [kernel_estimate(arena.real.features, fakes, 0.95) for fakes in pair]
        for results, cost in zip(old, costs, strict=True):
            results.append(is_promoted(*estimates, cost, 1.0))
    return new, old
