"""A simulated utility study, what it says, and the claims that many of them come to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_simulations.claims import Claim, Decision, Unit, mean_of
from decision_simulations.earlier_rules import says_images_help
from mammogan.results import Benefit
from mammogan.statistics import Floats
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC
from mammogan.utility.decision import conclude
from mammogan.utility.held_out import HeldOut

CONFIDENCE = 0.95
BLOCKS = 5
LEARNERS = (REAL, OVERSAMPLED, AUGMENTED, SYNTHETIC, BOTH)


@dataclass(frozen=True)
class Study:
    """What one study came to."""

    finding: Benefit
    smallest_effect: float
    """Difference of AUC; NaN where none is named."""
    earlier: bool
    """Whether the rule that was before says "help"."""


def concluded(scores: Mapping[str, Floats], test: HeldOut) -> Study:
    """The finding from scores (S, T) by arm, and that of the earlier rule."""
    result = conclude(scores, test, CONFIDENCE)
    smallest = math.nan if result.smallest_effect is None else result.smallest_effect
    return Study(result.finding, smallest, says_images_help(scores[SYNTHETIC], scores[REAL], test))


def help_claim(case: str, studies: Sequence[Study], least: float = -math.inf, most: float = math.inf) -> Claim:
    """How often "help" is said, today and before."""
    new, old = ([study.finding is Benefit.HELPS for study in studies], [study.earlier for study in studies])
    return Claim(Decision.UTILITY, f'{case}: "help" said', mean_of(new), mean_of(old), least, most)


def harm_claim(case: str, studies: Sequence[Study]) -> Claim:
    """How often "harm" is said."""
    return Claim(Decision.UTILITY, f'{case}: "harm" said', mean_of([each.finding is Benefit.HARMS for each in studies]))


def smallest_effect(studies: Sequence[Study]) -> float:
    """Mean of the smallest effects that the studies name, where they name one."""
    return float(np.nanmean([study.smallest_effect for study in studies]))


def effect_claim(case: str, studies: Sequence[Study]) -> Claim:
    """The smallest effect that the studies say they could find."""
    named = [study.smallest_effect for study in studies if not math.isnan(study.smallest_effect)]
    return Claim(Decision.UTILITY, f"{case}: smallest effect named (AUC)", mean_of(named), unit=Unit.NUMBER)
