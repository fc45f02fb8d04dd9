"""What a simulation found of a decision, with its Monte-Carlo error, and the bound that it must keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

ERRORS = 3.0
"""Monte-Carlo errors past a bound at which it counts as broken: chance alone goes so far in one of 700 rows."""


class Decision(StrEnum):
    """What is decided, as the table names it, and the fault that was found of it."""

    LAMBDAS = "lambdas"
    """Three seeds found a difference of three residual standard deviations in 4 to 16%."""
    PROMOTION = "promotion"
    """Where intervals overlapped, whoever had trained 1% faster became champion."""
    CHAIN = "chain"
    """Twenty retrains, each one standard error worse on faster hardware, were promoted nearly all."""
    REQUIRED = "required checks"
    """An audit that had made 3 of 10 checks crowned a champion."""
    MOVED_COPIES = "moved copies"
    """Copies that were moved by four pixels passed."""
    MEMORISED = "memorised"
    """The gate "not memorised" refused none of 800 generators that replay their training images."""
    WINNER = "winner"
    """The winner's interval held the truth in 75 to 85%, because the winner is the best of many."""
    INTERVALS = "intervals"
    """Intervals were over images, not patients; FID's reference was 2.8 times too high."""
    UTILITY = "utility"
    """"The images help" compared with the wrong control."""


class Unit(StrEnum):
    """How a figure is written."""

    SHARE = "share"
    NUMBER = "number"


@dataclass(frozen=True)
class Figure:
    """A mean over repetitions."""

    value: float
    error: float
    """Its Monte-Carlo standard error."""
    repetitions: int


@dataclass(frozen=True)
class Claim:
    """One row of the table."""

    decision: Decision
    case: str
    after: Figure
    """By the project's functions."""
    before: Figure | None = None
    """By the rule that they replaced; None where there was none."""
    least: float = -math.inf
    most: float = math.inf
    unit: Unit = Unit.SHARE

    @property
    def holds(self) -> bool:
        """Whether the bound is kept, or passed by no more than chance explains; of what must never be, nothing does."""
        slack = ERRORS * self.after.error
        above, below = (0.0 if end in (0.0, 1.0) else slack for end in (self.most, self.least))
        return self.least - below <= self.after.value <= self.most + above

    @property
    def shows(self) -> bool:
        """Whether it is bounded and says how it was before."""
        return self.before is not None and self.bound != "–"

    @property
    def bound(self) -> str:
        """In words; a dash for a figure that is stated alone."""
        low, high = (_written(end, self.unit) for end in (self.least, self.most))
        if math.isinf(self.least) and math.isinf(self.most):
            return "–"
        if math.isinf(self.least):
            return f"at most {high}"
        return f"at least {low}" if math.isinf(self.most) else f"{low} to {high}"

    @property
    def row(self) -> str:
        """The claim as a row of a Markdown table."""
        before = _shown(self.before, self.unit) if self.before else "–"
        verdict = "" if self.bound == "–" else "yes" if self.holds else "**no**"
        draws = str(self.after.repetitions)
        cells = (self.decision, self.case, before, _shown(self.after, self.unit), draws, self.bound, verdict)
        return f"| {' | '.join(cells)} |"


HEADER = "| decision | case | before | after | draws | bound | kept |\n|---|---|---|---|---|---|---|"


def mean_of(values: ArrayLike) -> Figure:
    """Mean of what each repetition gave, or the share of those that are true."""
    numbers = np.asarray(values, dtype=np.float64)
    # of 0 or all hits the spread shows nothing: one hit more or less is what it could have been
    spread = (
        max(float(numbers.std(ddof=1)), math.sqrt(1 / len(numbers)))
        if set(numbers) <= {0.0, 1.0}
        else numbers.std(ddof=1)
    )
    return Figure(float(numbers.mean()), float(spread) / math.sqrt(len(numbers)), len(numbers))


def _shown(figure: Figure, unit: Unit) -> str:
    return f"{_written(figure.value, unit)} ± {_written(figure.error, unit)}"


def _written(value: float, unit: Unit) -> str:
    return f"{100 * value:.3g}%" if unit is Unit.SHARE else f"{value:.3g}"
