"""The results of a study as a person reads them, in 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mammogan.reader_study.accuracy import GUESSING
from mammogan.reader_study.agreement import Agreement
from mammogan.reader_study.pooling import PooledRate
from mammogan.reader_study.rate import Rate
from mammogan.reader_study.scoring import ReaderScore, Score

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 80
LONGEST_NAME = 20


def heading(result: Score) -> str:
    """What was studied, in sentences."""
    repeats = f", {result.repeats} shown twice" if result.repeats else ""
    return (
        f"Study {result.study}: {result.synthetic} synthetic and {result.real} real {result.label} images{repeats}; "
        f"{len(result.readers)} {'reader' if len(result.readers) == 1 else 'readers'}. Synthetic is what is looked "
        f"for; below each value its {100 * result.confidence:g}% interval."
    )


def readers_table(result: Score) -> Table:
    """A row a reader, and one for all together."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("reader", max_width=LONGEST_NAME, overflow="fold")
    for title in ("right", "p of\nguessing", "sensitivity", "specificity", "area\nunder ROC"):
        table.add_column(title, justify="right")
    for reader in result.readers:
        table.add_row(
            reader.reader, rate(reader.accuracy), p_value(reader.p_guessing), rate(reader.sensitivity),
            rate(reader.specificity), rate(reader.area),
        )  # fmt: skip
    if result.pooled:
        accuracy, area = result.pooled.accuracy, result.pooled.area
        table.add_row("mean of readers", rate(accuracy.rate), p_value(accuracy.p_guessing), "", "", rate(area.rate))
    return table


def notes(result: Score) -> Iterator[str]:
    """What does not fit into the table: missing answers, agreement, and what the study could have found."""
    for reader in result.readers:
        yield from _reader_notes(reader, result)
    if result.pooled:
        pooled = result.pooled
        images = pooled.synthetic + pooled.real
        yield (
            f"All readers, on the {images} images that all answered: {agreed(pooled.agreement)}. "
            f"{_finding(pooled.accuracy, result.confidence)} {_power(pooled.accuracy, result.power)}"
        )
    for item in result.omitted:
        yield f"Not done: {item.key}: {item.reason}."


def _reader_notes(reader: ReaderScore, result: Score) -> Iterator[str]:
    parts = [f"{reader.reader}: {reader.answered} of {result.synthetic + result.real} images answered"]
    if reader.missing_repeats:
        parts.append(f"{reader.missing_repeats} second showings not answered")
    parts.append(f"{reader.seconds:.1f} s an image")
    if reader.own_agreement:
        parts.append(f"with themselves {agreed(reader.own_agreement)}")
    if reader.detectable is None:
        parts.append("too few images to tell anybody from guessing")
    else:
        parts.append(f"a difference of {points(reader.detectable)} from 50% is found in {result.power:.0%} of studies")
    yield f"{'; '.join(parts)}."


def _power(accuracy: PooledRate, power: float) -> str:
    if accuracy.detectable is None:
        return (
            f"With readers this few and this different no difference from 50% would be found in {power:.0%} of studies."
        )
    return (
        "With other readers and images of this spread, a mean that differs from 50% by "
        f"{points(accuracy.detectable)} would be found in {power:.0%} of studies."
    )


def _finding(accuracy: PooledRate, confidence: float) -> str:
    if accuracy.p_guessing < 1 - confidence:
        return f"The mean is {'better' if accuracy.rate.value > GUESSING else 'worse'} than guessing."
    return "The mean does not differ significantly from guessing, which does not show that it is guessing."


def rate(value: Rate | None) -> str:
    """A share with its interval below it; an en dash for none."""
    if value is None:
        return "–"
    ends = f"\n{value.low:.2f}–{value.high:.2f}" if value.low is not None and value.high is not None else ""
    return f"{value.value:.2f}{ends}"


def p_value(value: float | None) -> str:
    """Three decimals; less than the least of them as such."""
    return "–" if value is None else f"{value:.3f}" if value >= 0.0005 else "<0.001"


def points(distance: float) -> str:
    """A difference of shares in percentage points, rounded up: a smaller one would be promised too often."""
    return f"{math.ceil(100 * distance)} points"


def agreed(item: Agreement) -> str:
    """Kappa in a line."""
    if item.kappa is None:
        return f"{item.statistic} undefined: all answers to {item.images} images are the same"
    low, high = item.kappa.low, item.kappa.high
    ends = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else " (no interval)"
    return f"{item.statistic} {item.kappa.value:.2f}{ends}, the same answer to {item.observed:.0%} of {item.images}"
