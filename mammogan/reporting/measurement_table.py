"""Measurements of one set of images below each other: value with interval, and what real images reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mammogan import numbers
from mammogan.numbers import Scale
from mammogan.reporting.text_table import TextTable
from mammogan.reporting.trial_table import REFERENCE
from mammogan.results import Direction, Measurement, Omission

BETTER = {
    Direction.LOWER: "lower is better",
    Direction.HIGHER: "higher is better",
    Direction.MATCH_REFERENCE: f"best as {REFERENCE}",
}


def measurement_table(measurements: Sequence[Measurement], omitted: Sequence[Omission] = ()) -> TextTable:
    """A row for each measurement, by its name in MLflow and ``--json``, of which none needs to be folded at 80 columns.

    Which value is better, how many images there were and what was left out stand below.
    """
    header = ("metric", f"value ({_confidence(measurements)})", REFERENCE.replace(" ", "\n", 1))
    rows = tuple(_row(item) for item in measurements)
    notes = (
        *_by(measurements, lambda item: BETTER[item.direction]),
        *_by(measurements, _counts),
        *(f"left out: {omission.key}: {omission.reason}" for omission in omitted),
    )
    return TextTable(header, rows, fixed=len(header), notes=notes)


def _row(item: Measurement) -> tuple[str, ...]:
    scale = Scale.of([item])
    reference = f"{scale.beside(item.reference, item)} {scale.power}".rstrip()
    return (item.key, numbers.estimate(item), reference)


def _counts(item: Measurement) -> str:
    """How many images a measurement is of; of generated ones alone or of real ones alone too."""
    counts = [f"{count} {kind}" for count, kind in ((item.n_real, "real"), (item.n_fake, "generated")) if count]
    return f"of {' and '.join(counts)} images" if counts else ""


def _by(measurements: Sequence[Measurement], told: Callable[[Measurement], str]) -> Iterator[str]:
    """What is told of measurements, with the names of those that it is true of."""
    for note in filter(None, dict.fromkeys(map(told, measurements))):
        names = [item.key.rpartition("/")[2] for item in measurements if told(item) == note]
        yield f"{note}: {', '.join(dict.fromkeys(names)) if len(names) < len(measurements) else 'all'}"


def _confidence(measurements: Sequence[Measurement]) -> str:
    levels = {numbers.percent(item.confidence) for item in measurements}
    return f"{levels.pop()} interval" if len(levels) == 1 else "interval"
