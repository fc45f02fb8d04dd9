"""Levels of a factor compared in blocks: y = level + block + e, e independent with one variance (Fisher 1935, ch. 4).

Every level is run in every block, so that what a block does to all of them takes no part in their differences, and all
cells tell of one residual variance: (L - 1)(B - 1) degrees of freedom where each of L levels has each of B blocks.
Cells that are missing are left out of an ordinary least-squares fit of the same model, never filled in: a difference
then rests on the blocks that both levels have and, by way of the other levels, on the others; one that no chain of
common blocks connects cannot be estimated.

All pairs are compared at once by Tukey's studentised range, in Tukey and Kramer's form where cells are missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from mammogan.statistics import Floats, Ints

POWER = 0.8
"""Share of such experiments in which the smallest detectable difference is found."""
MOST_BLOCKS = 1000
"""Beyond, nobody asks how many blocks it would take."""
ROUNDING = 1e-12
"""Of the values."""
KNOTS = (40, 80, math.inf)
"""Degrees of freedom through which the quantile is laid from the first one on."""


@dataclass(frozen=True)
class BlockFit:
    """Least squares over the cells that there are."""

    levels: tuple[float, ...]
    effects: Floats
    """(L,): of the levels, up to a constant for each group."""
    inverse: Floats
    """(L, L): covariance of the effects over the residual variance."""
    group: Ints
    """(L,): levels of one group are connected by common blocks."""
    residual_sd: float | None
    """None where no degree of freedom is left."""
    freedom: int
    rounding: float
    """What is smaller is rounding alone, and counts as 0: equal runs are not told apart by their last bits."""

    def difference(self, one: float, other: float) -> float | None:
        """Of two levels' effects; None where no blocks connect them."""
        i, j = self.levels.index(one), self.levels.index(other)
        if self.group[i] != self.group[j]:
            return None
        difference = float(self.effects[i] - self.effects[j])
        return difference if abs(difference) > self.rounding else 0.0

    def standard_error(self, one: float, other: float) -> float | None:
        """Of the difference of two connected levels; None where no degree of freedom is left."""
        if self.residual_sd is None:
            return None
        i, j = self.levels.index(one), self.levels.index(other)
        unscaled = self.inverse[i, i] + self.inverse[j, j] - 2 * self.inverse[i, j]
        return self.residual_sd * math.sqrt(max(float(unscaled), 0.0))


def fit(cells: Mapping[tuple[float, int], float]) -> BlockFit:
    """The fit of values by (level, block). Raises ValueError for none."""
    if not cells:
        raise ValueError("cells={}: give the value of at least one run")
    levels, blocks = (sorted({cell[side] for cell in cells}) for side in (0, 1))
    rows = np.array([levels.index(level) for level, _ in cells])
    columns = np.array([blocks.index(block) for _, block in cells])
    design = np.zeros((len(cells), len(levels) + len(blocks)))
    design[np.arange(len(cells)), rows] = 1
    design[np.arange(len(cells)), len(levels) + columns] = 1
    values = np.array(list(cells.values()))
    centre = values.mean()  # large values that differ by little keep their digits
    inverse = np.asarray(np.linalg.pinv(design.T @ design), dtype=np.float64)
    solution = inverse @ (design.T @ (values - centre))
    residuals = values - centre - design @ solution
    rounding = ROUNDING * float(np.abs(values).max())
    residuals[np.abs(residuals) <= rounding] = 0
    freedom = len(cells) - int(np.linalg.matrix_rank(design))
    count = len(levels)
    return BlockFit(
        levels=tuple(levels),
        effects=solution[:count],
        inverse=inverse[:count, :count],
        group=_groups(rows, columns, count),
        residual_sd=math.sqrt(float(residuals @ residuals) / freedom) if freedom else None,
        freedom=freedom,
        rounding=rounding,
    )


def _groups(rows: Ints, columns: Ints, levels: int) -> Ints:
    """Number of each level's group: those that share a block, directly or by way of others."""
    group = np.arange(levels)
    for block in np.unique(columns):
        joined = group[rows[columns == block]]
        group[np.isin(group, joined)] = joined.min()
    return group


@cache
def critical(confidence: float, levels: int, freedom: int) -> float:
    """Standard errors that a difference must exceed for all pairs to hold together (Tukey 1953).

    From 40 degrees of freedom on a parabola in their inverse through 40, 80 and infinity, to 1e-4: scipy integrates
    each value for a quarter of a second.
    """
    from scipy.interpolate import lagrange

    if freedom <= KNOTS[0]:
        return _quantile(confidence, levels, freedom) / math.sqrt(2)
    through = lagrange([1 / knot for knot in KNOTS], [_quantile(confidence, levels, knot) for knot in KNOTS])
    return float(through(1 / freedom)) / math.sqrt(2)


@cache
def _quantile(confidence: float, levels: int, freedom: float) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(confidence, levels, freedom))


@cache
def detectable(confidence: float, levels: int, freedom: int) -> float:
    """True difference, in standard errors, that is found in ``POWER`` of the experiments (noncentral t)."""
    from scipy.optimize import brentq
    from scipy.stats import nct

    least = critical(confidence, levels, freedom)
    return float(brentq(lambda true: nct.sf(least, freedom, true) - POWER, 0, 10 * least + 10))


def blocks_needed(difference: float, residual_sd: float, confidence: float, levels: int) -> int | None:
    """Blocks of all levels in which a true difference of that size is found in ``POWER`` of the experiments.

    None for more than ``MOST_BLOCKS``, as for no difference at all.
    """

    def found(blocks: int) -> bool:
        freedom = (levels - 1) * (blocks - 1)
        return abs(difference) >= detectable(confidence, levels, freedom) * residual_sd * math.sqrt(2 / blocks)

    if not difference or not found(MOST_BLOCKS):
        return None
    least, most = 1, MOST_BLOCKS
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if found(middle) else (middle, most)
    return most
