"""Twenty retrains in a row, each one standard error worse than the champion of its time, on faster hardware."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from decision_simulations.claims import Claim, Decision, Unit, mean_of
from decision_simulations.contests import FAKES, KID, Stage, stage, standard_error
from decision_simulations.earlier_rules import is_promoted
from decision_simulations.setting import Setting
from decision_simulations.worlds import draw_fakes, shift_of
from mammogan.metrics.kid import kernel_estimate
from mammogan.statistics import Estimate, Floats

RETRAINS = 20
CHEAPER = 0.99


@dataclass(frozen=True)
class End:
    """Where a chain ends."""

    kid: float
    """True KID of the last champion."""
    promotions: int


def simulate(setting: Setting) -> Iterator[Claim]:
    """The same held-out patients see all retrains of a chain."""
    error = standard_error(setting.seed)
    rng = setting.rng(1)
    old, new = [], []
    for _ in range(setting.repetitions):
        arena = stage(rng)
        old.append(_old_chain(rng, arena, error))
        new.append(_new_chain(rng, arena, error))
    chain = f"{RETRAINS} retrains, each 1 standard error worse and 1% cheaper"
    before, after = ([end.kid > KID for end in ends] for ends in (old, new))
    case = f"{chain}: last champion worse than the first"
    yield Claim(Decision.CHAIN, case, mean_of(after), mean_of(before), most=0.05)
    before, after = ([end.promotions for end in ends] for ends in (old, new))
    yield Claim(Decision.CHAIN, f"{chain}: promotions", mean_of(after), mean_of(before), unit=Unit.NUMBER)
    before, after = ([end.kid for end in ends] for ends in (old, new))
    case = f"{chain}: KID of the last champion, {KID:g} at first"
    yield Claim(Decision.CHAIN, case, mean_of(after), mean_of(before), unit=Unit.NUMBER)


def _new_chain(rng: np.random.Generator, arena: Stage, error: float) -> End:
    """Without force the champion is the best so far, and draws the same images in each of its contests."""
    kid, promotions = KID, 0
    champion = draw_fakes(rng, shift_of(kid), FAKES)
    for _ in range(RETRAINS):
        if arena.is_promoted(draw_fakes(rng, shift_of(kid + error), FAKES), champion):
            kid, promotions = kid + error, promotions + 1
            champion = draw_fakes(rng, shift_of(kid), FAKES)
    return End(kid, promotions)


def _old_chain(rng: np.random.Generator, arena: Stage, error: float) -> End:
    """Each version keeps the figure that it was registered with."""
    kid, promotions, cost = KID, 0, 1.0
    champion = _registered(arena, draw_fakes(rng, shift_of(kid), FAKES))
    for _ in range(RETRAINS):
        challenger = _registered(arena, draw_fakes(rng, shift_of(kid + error), FAKES))
        if is_promoted(challenger, champion, CHEAPER * cost, cost):
            kid, promotions, cost, champion = kid + error, promotions + 1, CHEAPER * cost, challenger
    return End(kid, promotions)


def _registered(arena: Stage, fakes: Floats) -> Estimate:
    return kernel_estimate(arena.real.features, fakes, 0.95)
