"""A number with its interval, as the results of a study hold it."""

from __future__ import annotations

from dataclasses import dataclass

from mammogan.statistics import Estimate


@dataclass(frozen=True)
class Rate:
    """A value and the ends of its interval, None where there is none."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, estimate: Estimate) -> Rate:
        """The same as a dataclass, which JSON names the parts of."""
        return cls(*estimate)
