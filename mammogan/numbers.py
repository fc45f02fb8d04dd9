"""Numbers as a person writes them: ``0.32 (-0.03 to 0.66) x 10^-3``, one power of ten for what stands side by side.

A value has as many decimals as its interval supports: two significant digits of the half-width (JCGM 100:2008, 7.2.6),
so that no digit is shown that another sample of images would change. Without an interval it has three significant
digits. Text is plain ASCII for terminals and Markdown; ``typeset`` makes the signs of a page of it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

MISSING = "–"
"""Stands for None."""
DIGITS = 3
"""Significant digits of a number without an interval."""
INTERVAL_DIGITS = 2
"""Significant digits of an interval's half-width."""
MOST_DECIMALS = 6
SMALLEST, LARGEST = 0.01, 1e6
"""Numbers between these are written without a power of ten."""
STEP = 3
"""Powers of ten are multiples of it: a KID is read in thousandths."""
LEAST_EXPONENT = -300
"""Below it a power of ten is no float."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r" x 10\^(-?\d+)")
_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\d)")


class Estimate(Protocol):
    """What has a value, and maybe an interval."""

    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class Point:
    """A number, with an interval where it has one; what ``number`` and others are written through."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """The power of ten that the numbers of a column share; each has the decimals of its own interval."""

    exponent: int = 0

    @classmethod
    def of(cls, items: Iterable[Estimate]) -> Scale:
        """The power that suits most of them, so that a single outlier does not write the others as zeros."""
        sizes = [size for size in map(_size, items) if 0 < size < math.inf]
        return cls(_exponent(statistics.median_low(sizes)) if sizes else 0)

    @property
    def power(self) -> str:
        """``x 10^-3``; empty where the numbers are as they are."""
        return f"x 10^{self.exponent}" if self.exponent else ""

    def value(self, item: Estimate) -> str:
        """The value without its power: ``0.32``; an en dash for None."""
        return self.beside(item.value, item)

    def interval(self, item: Estimate) -> str:
        """The interval without its power: ``-0.03 to 0.66``; empty where it has none."""
        if item.low is None or item.high is None:
            return ""
        return f"{self.beside(item.low, item)} to {self.beside(item.high, item)}"

    def beside(self, number: float | None, item: Estimate) -> str:
        """Another number with the decimals of ``item``, such as its reference; an en dash for None."""
        if number is None:
            return MISSING
        return _fixed(number / 10.0**self.exponent, self._decimals(item))

    def published(self, number: float, decimals: int) -> str:
        """A number of the literature in this scale, which was published with so many decimals."""
        return _fixed(number / 10.0**self.exponent, max(0, decimals + self.exponent))

    def pair(self, item: Estimate) -> str:
        """Value and interval without their power: ``0.32 (-0.03 to 0.66)``."""
        ends = self.interval(item)
        return f"{self.value(item)} ({ends})" if ends else self.value(item)

    def _decimals(self, item: Estimate) -> int:
        if item.low is not None and item.high is not None and item.high > item.low:
            size, digits = (item.high - item.low) / 2, INTERVAL_DIGITS
        else:
            size, digits = abs(item.value or 0.0), DIGITS
        if size == 0 or not math.isfinite(size):
            return 0
        wanted = digits - 1 - _magnitude(size, digits) + self.exponent
        return max(0, min(MOST_DECIMALS, wanted))


def estimate(item: Estimate) -> str:
    """Value, interval and power: ``0.32 (-0.03 to 0.66) x 10^-3``."""
    scale = Scale.of([item])
    return f"{scale.pair(item)} {scale.power}".rstrip()


def interval(item: Estimate) -> str:
    """The interval alone with its power: ``(-0.03 to 0.66) x 10^-3``; an en dash where it has none."""
    scale = Scale.of([item])
    ends = scale.interval(item)
    return f"({ends}) {scale.power}" if ends and scale.power else ends or MISSING


def beside(number: float | None, item: Estimate) -> str:
    """Another number in the decimals and power of ``item``, such as its reference; an en dash for None."""
    scale = Scale.of([item])
    return MISSING if number is None else f"{scale.beside(number, item)} {scale.power}".rstrip()


def number(value: float | None) -> str:
    """A number by itself, three significant digits: ``0.177``, ``179``, ``0.320 x 10^-3``; an en dash for None."""
    return estimate(Point(value))


def p_value(value: float) -> str:
    """Three decimals, ``< 0.001`` below."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(share: float) -> str:
    """A share in [0, 1] as a whole percentage: ``80%``."""
    return f"{100 * share:.0f}%"


def date(milliseconds: int | None) -> str:
    """Day and minute in UTC of milliseconds since 1970; an en dash for None."""
    if milliseconds is None:
        return MISSING
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, the two that matter; an en dash for None."""
    if seconds is None:
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def typeset(text: str) -> str:
    """The text with the signs of a printed page: ``0.32 (−0.03 to 0.66) × 10⁻³``."""
    raised = _POWER.sub(lambda match: f" × 10{match[1].translate(_RAISED)}", f" {text}")
    return _MINUS.sub("−", raised)[1:]


def _size(item: Estimate) -> float:
    """The largest of value and ends, as a person sees the size of it; 0 where there is nothing."""
    return max((abs(number) for number in (item.value, item.low, item.high) if number is not None), default=0.0)


def _exponent(size: float) -> int:
    """Multiple of three that leaves between 0.1 and 100 of a size that is not written as it is."""
    if SMALLEST <= size < LARGEST:
        return 0
    return max(LEAST_EXPONENT, STEP * math.floor((math.log10(size) + 1) / STEP))


def _magnitude(size: float, digits: int) -> int:
    """Power of ten of the first digit once the size is rounded to ``digits`` of them: 0 for 0.999 and two digits."""
    return int(f"{size:.{digits - 1}e}".partition("e")[2])


def _fixed(number: float, decimals: int) -> str:
    """Fixed decimals, without a minus before zeros."""
    shown = f"{number:.{decimals}f}"
    return shown.lstrip("-") if not shown.strip("-0.") else shown
