"""The report's tables, as text ready to be set: lambdas compared, a row an epoch beside the paper's, the winner.

The numbers of a column share one power of ten, over all lambdas, so that they can be compared at a glance.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mammogan import device, numbers
from mammogan.config import lambda_text
from mammogan.numbers import Point, Scale
from mammogan.records import RunRecord, TrialRecord
from mammogan.reporting import figures, marks, pages, quantities
from mammogan.reporting.figures import Column
from mammogan.reporting.marks import Mark, Tone
from mammogan.results import (
    Candidate,
    Decision,
    Finding,
    LambdaComparison,
    LambdaStrength,
    Measurement,
    Omission,
    Verdict,
    WinnerResult,
)

FOUND = {Finding.BETTER: Tone.GOOD, Finding.WORSE: Tone.GOOD, Finding.NO_DIFFERENCE: Tone.PLAIN}
"""What was decided, and what remains open: all that is not named here."""

DECIMALS = {"fid": 2}
"""Of the paper's numbers, where there are not four."""


@dataclass(frozen=True)
class Heading:
    """Head of a column of numbers."""

    title: str
    images: str
    power: str
    """Power of ten of the whole column; empty for none."""
    aim: str
    """What counts as good; empty where it is not known."""


@dataclass(frozen=True)
class Cell:
    """A number of a table: of a single seed with its interval, or the mean and range of several."""

    value: str
    interval: str
    paper: str = ""
    """The paper's number of that epoch, where it stands beside ours."""


@dataclass(frozen=True)
class Row:
    """All numbers of one epoch of one lambda."""

    epoch: int
    cells: tuple[Cell, ...]
    wins: bool = False


@dataclass(frozen=True)
class LambdaTable:
    """All numbers of one gradient-penalty weight over the epochs."""

    gp_lambda: float
    seeds: int
    failed: tuple[str, ...]
    """Trials of it that failed."""
    rows: tuple[Row, ...]
    references: tuple[str, ...]
    """Reals against reals, a column each."""
    paper: tuple[Row, ...]
    """The paper's numbers where they do not stand beside ours."""


@dataclass(frozen=True)
class EpochTables:
    """A table a lambda, below the same headings."""

    headings: tuple[Heading, ...]
    lambdas: tuple[LambdaTable, ...]


def epoch_tables(record: RunRecord, against: str) -> EpochTables:
    """The run's rows, the reference, and the paper's numbers where it has that lambda.

    The paper's number stands in the cell of the same epoch; where the run lacks one of its epochs, all stand below.
    """
    columns, groups = figures.columns(against), figures.by_lambda(record)
    scales = [Scale.of(_points(record.trials, column)) for column in columns]
    published, tables = paper_tables(), []
    for gp_lambda, group in groups.items():
        epochs = _epochs(group, columns)
        paper = {int(row["epoch"]): list(row.values())[1:] for row in published.get(gp_lambda, ())}
        beside = paper if set(paper) <= set(epochs) else {}
        tables.append(
            LambdaTable(
                gp_lambda=gp_lambda,
                seeds=len(group),
                failed=tuple(trial.trial.name for trial in group if trial.status != "FINISHED"),
                rows=tuple(_row(record, group, epoch, columns, scales, beside.get(epoch)) for epoch in epochs),
                references=tuple(_reference(group, *pair) for pair in zip(columns, scales, strict=True)),
                paper=() if beside else tuple(_published(epoch, row, columns) for epoch, row in paper.items()),
            )
        )
    headings = tuple(_heading(record, *pair) for pair in zip(columns, scales, strict=True))
    return EpochTables(headings, tuple(tables))


def paper_tables() -> dict[float, list[dict[str, float]]]:
    """The paper's Tables 1-3: lambda to its rows of epoch and six metrics."""
    text = pages.content("paper_tables.csv")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    tables: dict[float, list[dict[str, float]]] = {}
    for row in csv.DictReader(lines):
        values = {name: float(value) for name, value in row.items()}
        tables.setdefault(values.pop("lambda"), []).append(values)
    return tables


def _heading(record: RunRecord, column: Column, scale: Scale) -> Heading:
    measured = [item for trial in record.trials for item in figures.measures(trial, column).values()]
    aim = quantities.AIMS[measured[0].direction] if measured else ""
    title, power = quantities.METRICS[column.metric], numbers.typeset(scale.power)
    return Heading(title, quantities.images_of(column.pairing), power, aim)


def _points(group: Iterable[TrialRecord], column: Column) -> list[Measurement]:
    return [item for trial in group for item in figures.measures(trial, column).values()]


def _epochs(group: Iterable[TrialRecord], columns: Iterable[Column]) -> list[int]:
    return sorted({epoch for column in columns for trial in group for epoch in figures.measures(trial, column)})


def _row(
    record: RunRecord,
    group: Sequence[TrialRecord],
    epoch: int,
    columns: Sequence[Column],
    scales: Sequence[Scale],
    paper: Sequence[float] | None,
) -> Row:
    """``paper`` are its six numbers of the epoch, where they stand beside ours."""
    winner = record.decision.winner if record.decision else None
    trials = {trial.trial for trial in group}
    cells = []
    for number, (column, scale) in enumerate(zip(columns, scales, strict=True)):
        found = [seed[epoch] for seed in (figures.measures(trial, column) for trial in group) if epoch in seed]
        point, beside = _point(found), _as_published(paper[number], column, scale) if paper else ""
        cells.append(Cell(numbers.typeset(scale.value(point)), numbers.typeset(scale.interval(point)), beside))
    return Row(epoch, tuple(cells), winner is not None and winner.trial in trials and winner.epoch == epoch)


def _point(items: Sequence[Measurement]) -> Point:
    if len(items) == 1:
        return Point(items[0].value, items[0].low, items[0].high)
    values = [item.value for item in items]
    return Point(sum(values) / len(values), min(values), max(values)) if values else Point(None)


def _published(epoch: int, values: Iterable[float], columns: Sequence[Column]) -> Row:
    pairs = zip(values, columns, strict=True)
    return Row(epoch, tuple(Cell(_as_published(value, column, Scale()), "") for value, column in pairs))


def _as_published(value: float, column: Column, scale: Scale) -> str:
    return scale.published(value, DECIMALS.get(column.metric, 4))


def _reference(group: Iterable[TrialRecord], column: Column, scale: Scale) -> str:
    """Mean over the trials, with the decimals of the last snapshot measured."""
    measured = [item for item in _points(group, column) if item.reference is not None]
    known = [item.reference for item in measured if item.reference is not None]
    return numbers.typeset(scale.beside(sum(known) / len(known), measured[-1])) if known else numbers.MISSING


@dataclass(frozen=True)
class StrengthRow:
    """The deciding metric of one gradient-penalty weight."""

    name: str
    value: str
    interval: str
    basis: str
    wins: bool


@dataclass(frozen=True)
class ComparisonRow:
    """One gradient-penalty weight less another."""

    pair: str
    difference: str
    interval: str
    seeds: int
    tone: Tone
    finding: str
    detectable: str
    seeds_needed: str


@dataclass(frozen=True)
class Comparison:
    """How the lambdas compare by the deciding metric."""

    metric: str
    """Its name and the images it is against."""
    power: str
    strengths: tuple[StrengthRow, ...]
    pairs: tuple[ComparisonRow, ...]


def comparison(decision: Decision) -> Comparison | None:
    """None where nothing was measured that could be compared."""
    if not decision.lambdas:
        return None
    scale = Scale.of(decision.lambdas)
    first = decision.candidates[0].deciding[0]
    return Comparison(
        metric=f"{quantities.title(first)} against {quantities.images(first)}",
        power=numbers.typeset(scale.power),
        strengths=tuple(_strength(item, scale, decision.winner) for item in decision.lambdas),
        pairs=tuple(_pair(item, scale, decision.lambdas[0]) for item in decision.comparisons),
    )


def _strength(item: LambdaStrength, scale: Scale, winner: Candidate | None) -> StrengthRow:
    return StrengthRow(
        name=quantities.weight(item.gp_lambda),
        value=numbers.typeset(scale.value(item)),
        interval=numbers.typeset(scale.interval(item)),
        basis=f"mean of {item.seeds} seeds' later snapshots" if item.seeds else "best snapshot of one seed",
        wins=winner is not None and winner.gp_lambda == item.gp_lambda,
    )


def _pair(item: LambdaComparison, scale: Scale, like: LambdaStrength) -> ComparisonRow:
    """``like`` gives the decimals of a difference without an interval."""
    point = Point(item.difference, item.low, item.high)
    digits = like if item.low is None else point
    return ComparisonRow(
        pair=f"{lambda_text(item.one)}\u00a0less\u00a0{lambda_text(item.other)}",
        difference=numbers.typeset(scale.beside(item.difference, digits)),
        interval=numbers.typeset(scale.interval(point)),
        seeds=item.seeds,
        tone=FOUND.get(item.finding, Tone.AMBER),
        finding=f"{quantities.weight(item.better)} is better" if item.better is not None else item.finding.value,
        detectable=scale.beside(item.detectable, point),
        seeds_needed=_seeds_needed(item),
    )


def _seeds_needed(item: LambdaComparison) -> str:
    if item.better is not None or item.detectable is None:
        return numbers.MISSING
    return "more than 1000" if item.seeds_needed is None else f"{item.seeds_needed}"


@dataclass(frozen=True)
class MeasureRow:
    """A number of one snapshot with what it rests on."""

    title: str
    images: str
    network: str
    value: str
    """With its interval and power of ten."""
    reference: str
    counts: str
    """Real and synthetic images."""
    decides: bool


def measure_rows(items: Iterable[Measurement], deciding: Iterable[Measurement] = ()) -> list[MeasureRow]:
    """A row a measurement; those in ``deciding`` are marked."""
    chosen = {item.quantity for item in deciding}
    return [
        MeasureRow(
            title=quantities.title(item.quantity),
            images=quantities.images(item.quantity),
            network=item.quantity.extractor,
            value=numbers.typeset(numbers.estimate(item)),
            reference=reference(item),
            counts=f"{item.n_real} / {item.n_fake}",
            decides=item.quantity in chosen,
        )
        for item in items
    ]


@dataclass(frozen=True)
class ResultRow:
    """A number of the winner on test images, beside the one that selected it."""

    measured: MeasureRow
    selected: str
    """The selecting number; an en dash where the metric did not select."""


@dataclass(frozen=True)
class ResultTable:
    """The winner measured anew."""

    selected_on: str
    """Images that the selection went by."""
    rows: tuple[ResultRow, ...]
    omitted: tuple[Omission, ...]
    gate: Verdict | None
    """Whether it favours the train images."""
    mark: Mark
    seed: int
    """Of the images that were drawn for it."""


def result_table(result: WinnerResult) -> ResultTable:
    """A row a measurement; the train images' own are there to show the gap."""
    chosen = {item.quantity.metric: item for item in result.selected_by}
    selected = {metric: numbers.typeset(numbers.estimate(item)) for metric, item in chosen.items()}
    rows = zip(measure_rows(result.measurements, result.figures()), result.measurements, strict=True)
    return ResultTable(
        selected_on=quantities.images(result.selected_by[0].quantity) if result.selected_by else "",
        rows=tuple(
            ResultRow(row, selected.get(item.quantity.metric, numbers.MISSING) if row.decides else numbers.MISSING)
            for row, item in rows
        ),
        omitted=result.omitted,
        gate=result.verdict,
        mark=marks.of_outcome(result.outcome),
        seed=result.latent_seed,
    )


def reference(item: Measurement) -> str:
    """What real images give against other real images, written as the value is; an en dash where it is not known."""
    return numbers.typeset(numbers.beside(item.reference, item))


@dataclass(frozen=True)
class TrialRow:
    """A trial in the table of the training."""

    name: str
    status: str
    epochs: str
    train: str
    """Time of training."""
    device: str
    cost: str
    run_id: str


@dataclass(frozen=True)
class TrialTable:
    """The trials, and what they took together."""

    rows: tuple[TrialRow, ...]
    train: str
    gpu: str
    """Seconds on a GPU; empty for none."""
    cost: str
    """Empty where an hour has no price."""


def trial_table(record: RunRecord) -> TrialTable:
    """A row a trial, in the order of lambda and seed."""
    price = record.config.hour_price if record.config else 0.0
    trained = [trial.training for trial in record.trials if trial.training]
    seconds = sum(item.train_s for item in trained)
    gpu = sum(item.train_s for item in trained if device.is_gpu(item.device))
    return TrialTable(
        rows=tuple(_trial_row(trial, price) for trial in record.trials),
        train=numbers.duration(seconds),
        gpu=f"{round(gpu)} GPU seconds" if gpu else "",
        cost=_cost(seconds, price),
    )


def _trial_row(trial: TrialRecord, price: float) -> TrialRow:
    training = trial.training
    return TrialRow(
        name=trial.trial.name,
        status=trial.status.lower(),
        epochs=f"{training.epochs_done} of {training.epochs}" if training else numbers.MISSING,
        train=numbers.duration(training.train_s if training else None),
        device=(training.device if training else "") or numbers.MISSING,
        cost=_cost(training.train_s if training else 0.0, price),
        run_id=trial.run_id,
    )


def _cost(seconds: float, price: float) -> str:
    return f"{seconds / 3600 * price:.2f}" if price else ""
