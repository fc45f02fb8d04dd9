"""Measurements of one set of images below each other: value with interval, what real images reach, what is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mammogan import numbers
from mammogan.numbers import Scale
from mammogan.reporting.text_table import TextTable
from mammogan.reporting.trial_table import REFERENCE
from mammogan.results import Direction, Measurement, Omission

BETTER = {Direction.LOWER: "lower", Direction.HIGHER: "higher", Direction.MATCH_REFERENCE: "reference"}


def measurement_table(measurements: Sequence[Measurement], omitted: Sequence[Omission] = ()) -> TextTable:
    """A row for each measurement, by its name in MLflow and ``--json``.

    How many images there were stands below where it is the same for all, as what was left out does.
    """
    counts = dict.fromkeys((item.n_real, item.n_fake) for item in measurements if item.n_real and item.n_fake)
    shared = len(counts) < 2
    header = ("metric", f"value ({_confidence(measurements)})", REFERENCE.replace(" ", "\n", 1), "better")
    columns = header if shared else (*header, "images")
    rows = tuple(_row(item) if shared else (*_row(item), _counts(item)) for item in measurements)
    notes = [f"images: {real} real, {fake} generated" for real, fake in counts] if shared else []
    return TextTable(columns, rows, fixed=len(columns), notes=(*notes, *_notes(omitted)))


def _row(item: Measurement) -> tuple[str, ...]:
    scale = Scale.of([item])
    reference = f"{scale.beside(item.reference, item)} {scale.power}".rstrip()
    return (item.key, numbers.estimate(item), reference, BETTER[item.direction])


def _counts(item: Measurement) -> str:
    return " / ".join(str(count) for count in (item.n_real, item.n_fake) if count)


def _confidence(measurements: Sequence[Measurement]) -> str:
    levels = {numbers.percent(item.confidence) for item in measurements}
    return f"{levels.pop()} interval" if len(levels) == 1 else "interval"


def _notes(omitted: Sequence[Omission]) -> Iterator[str]:
    for omission in omitted:
        yield f"left out: {omission.key}: {omission.reason}"
