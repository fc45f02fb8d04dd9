"""Trials side by side, a column each: the best snapshot's metrics with interval, what real images reach, the winner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mammogan import numbers
from mammogan.numbers import Scale
from mammogan.records import RunRecord, TrialRecord
from mammogan.reporting import quantities, runs_table
from mammogan.reporting.text_table import TextTable
from mammogan.reporting.winner import looks
from mammogan.results import Measurement, Quantity

WINNER = "* winner"
REFERENCE = "real against real"


@dataclass(frozen=True)
class Column:
    """A trial of a run."""

    record: RunRecord
    trial: TrialRecord

    @property
    def best(self) -> tuple[Measurement, ...]:
        """Measurements of the trial's best snapshot; empty where it has none."""
        return runs_table.best(self.trial, self.record)

    @property
    def wins(self) -> bool:
        """Whether its run chose it."""
        winner = self.record.decision.winner if self.record.decision else None
        return winner is not None and winner.trial == self.trial.trial

    def find(self, quantity: Quantity) -> Measurement | None:
        """What was measured of a quantity at the best snapshot."""
        return next((item for item in self.best if item.quantity == quantity), None)


def trial_table(records: Sequence[RunRecord]) -> TextTable:
    """A column for each trial of the runs, in the order of lambda and seed; the winner is marked.

    Rows: the epoch of the best snapshot, the settings in which the runs differ, and each quantity with its interval,
    in the power of ten that its row names, those first by which the winner was chosen. What was lost of a trial is a
    note.
    """
    columns = [Column(record, trial) for record in records for trial in record.trials]
    measured = dict.fromkeys(item.quantity for column in columns for item in column.best)
    deciding = _deciding(records)
    quantities = sorted(
        (quantity for quantity in measured if quantity.pairing != "real_real"),  # which is the others' reference
        key=lambda quantity: deciding.index(quantity) if quantity in deciding else len(deciding),
    )
    rows = [
        ("best epoch", "", *(_epoch(column) for column in columns)),
        *((name, "", *values) for name, values in _settings(records, columns)),
        *(_row(quantity, columns) for quantity in quantities),
        *(row for column in columns for row in _test_rows(column, columns)),
    ]
    header = ("metric", REFERENCE.replace(" ", "\n", 1), *(_heading(column, len(records) > 1) for column in columns))
    return TextTable(header, tuple(rows), fixed=2, notes=tuple(_notes(columns, several=len(records) > 1)))


def _test_rows(winner: Column, columns: Sequence[Column]) -> Iterator[tuple[str, ...]]:
    """The figures of a run's winner on test images, once each; none of another trial, which has none."""
    result = winner.record.findings.result
    if result is None or not winner.wins:
        return
    for item in result.figures():
        scale = Scale.of([item])
        name, _, rest = scaled_title(item.quantity, scale).partition("\n")
        reference = scale.beside(item.reference, item)
        cells = [_cell(item, scale, reference=False) if column is winner else "" for column in columns]
        yield (f"{name} of the winner\n{rest}".rstrip(), reference, *cells)


def title(quantity: Quantity) -> str:
    """A quantity as a person calls it: ``KID``, and in a second line the network and the real images."""
    pairs = quantity.pairing.replace("_", "-")
    name = quantities.ACRONYMS.get(quantity.metric, quantity.metric)
    if quantity.metric in ("lpips", "ms_ssim"):
        return "\n".join(filter(None, (f"{name} {pairs}", quantity.extractor)))
    reals = "" if quantity.pairing == "real_fake" else f", {pairs}"
    return f"{name}\n{quantity.extractor}{reals}"


def scaled_title(quantity: Quantity, scale: Scale) -> str:
    """The title with the power of ten of its numbers behind the name: ``KID x 10^-3``."""
    name, _, rest = title(quantity).partition("\n")
    return "\n".join(filter(None, (f"{name} {scale.power}".rstrip(), rest)))


def _deciding(records: Sequence[RunRecord]) -> list[Quantity]:
    """By what the winners were chosen, the first first."""
    winners = [record.decision.winner for record in records if record.decision]
    return list(dict.fromkeys(quantity for winner in winners if winner for quantity in winner.deciding))


def _row(quantity: Quantity, columns: Sequence[Column]) -> tuple[str, ...]:
    measured = [column.find(quantity) for column in columns]
    known = [item for item in measured if item]
    scale = Scale.of(known)
    shared = len({item.reference for item in known}) == 1
    cells = [numbers.MISSING if item is None else _cell(item, scale, reference=not shared) for item in measured]
    return (scaled_title(quantity, scale), scale.beside(known[0].reference, known[0]) if shared else "", *cells)


def _cell(item: Measurement, scale: Scale, *, reference: bool) -> str:
    lines = [scale.value(item), scale.interval(item)]
    if reference and item.reference is not None:
        lines.append(f"real {scale.beside(item.reference, item)}")
    return "\n".join(filter(None, lines))


def _heading(column: Column, several: bool) -> str:
    name = [column.record.name] if several else []
    mark = [WINNER] if column.wins else []
    return "\n".join([*name, *column.trial.trial.name.split(","), *mark])


def _epoch(column: Column) -> str:
    return str(column.best[0].epoch) if column.best else numbers.MISSING


def _settings(records: Sequence[RunRecord], columns: Iterable[Column]) -> Iterator[tuple[str, list[str]]]:
    """Settings in which the runs differ, with the value of each trial's run."""
    for name in runs_table.changing(records):
        yield name, [str(runs_table.setting(column.record, name)) for column in columns]


def _notes(columns: Iterable[Column], *, several: bool) -> Iterator[str]:
    for column in columns:
        if column.trial.status != "FINISHED":
            where = f"{column.record.name}, " if several else ""
            reason = f": {column.trial.reason}" if column.trial.reason else ""
            yield f"{where}{column.trial.trial.name}: {column.trial.status}{reason}"
        if column.wins and (result := column.record.findings.result):
            unmeasured = result.unmeasured and f"not measured on test images: {result.reason or result.unmeasured}"
            yield unmeasured or looks(result.test_set)
