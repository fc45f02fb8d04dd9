"""The report of a run: one self-contained HTML page, and its pictures as PNGs, from what MLflow holds.

It tells its story from the top: the verdict, what it rests on and what failed, the data, the paper's tables and
figures for this run beside the paper's own numbers, the settings, and the decision in full.
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mammogan import storage
from mammogan.config import PRESETS, Config
from mammogan.records import PAIRS, Production, RunRecord, TrialRecord
from mammogan.reporting import figures, findings, pages
from mammogan.reporting.figures import Column
from mammogan.results import Candidate, Direction, Evaluation, Measurement
from mammogan.selection import comparison
from mammogan.selection.pairing import pairing_of_run

PAGE = "report.html"
AIMS = {
    Direction.LOWER: "lower is better",
    Direction.HIGHER: "higher is better",
    Direction.MATCH_REFERENCE: "best near the reference",
}


def build(record: RunRecord, out: Path, production: Production | None = None) -> Path:
    """Write the page and its pictures to the folder ``out``; returns the page. Works for a run that failed early.

    ``production`` is what the page says to be in production; None that nothing is.
    """
    against = pairing_of_run(record)
    pictures = _pictures(record, against)
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    filters = {"number": number, "interval": interval, "date": date, "duration": duration}
    environment = pages.environment(**filters, sentence=comparison.sentence, design=comparison.describe_design)
    page = environment.get_template("report.html").render(
        record=record,
        against=against,
        decision=record.decision,
        production=production,
        pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
        columns=_headings(record, figures.columns(against)),
        tables=_tables(record, against),
        caveats=_caveats(record),
        failed=[trial for trial in record.trials if _has_failed(trial)],
        data=record.data,
        settings=_settings(record.config),
        trials=[_trial_row(trial, _hour_price(record)) for trial in record.trials],
        total=_total(record),
        winner_measurements=_winner_measurements(record),
        findings=findings.section(record.findings, real_images=_shows_reals(record)),
        real_images=_shows_reals(record) and PAIRS in record.findings.pictures,
        style=pages.content("report.css"),
    )
    storage.write_bytes(str(out / PAGE), page.encode())
    return out / PAGE


def number(value: float | None) -> str:
    """Two decimals from 1 upwards and four below, as the paper's tables have them; an en dash for None."""
    if value is None:
        return "–"
    if value != 0 and not 0.01 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4f}"


class Interval(Protocol):
    """What may have an interval."""

    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


def interval(item: Interval) -> str:
    """Its interval, or nothing where it has none."""
    if item.low is None or item.high is None:
        return ""
    return f"{number(item.low)} – {number(item.high)}"


def date(milliseconds: int | None) -> str:
    """Day and minute in UTC; an en dash for None."""
    if milliseconds is None:
        return "–"
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, the two that matter; an en dash for None."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _shows_reals(record: RunRecord) -> bool:
    """Whether the run asked for real images; an older one, whose audit always kept some, did not."""
    return bool(record.config and record.config.report.real_images)


def _has_failed(trial: TrialRecord) -> bool:
    return trial.status != "FINISHED"


def _hour_price(record: RunRecord) -> float:
    return record.config.hour_price if record.config else 0.0


def _winner(record: RunRecord) -> Candidate | None:
    return record.decision.winner if record.decision else None


def _pictures(record: RunRecord, against: str) -> dict[str, bytes]:
    size = record.config.data.size if record.config else 0
    drawn = {
        "winner": _winner_grid(record),
        "metrics": figures.metrics_figure(record, against),
        "samples": figures.samples_figure(record, size) if size else None,
        "losses": figures.losses_figure(record),
    }
    return {name: content for name, content in drawn.items() if content}


def _winner_grid(record: RunRecord) -> bytes | None:
    winner = _winner(record)
    for trial in record.trials:
        if winner and trial.trial == winner.trial:
            return trial.grids.get(winner.epoch)
    return None


def _winner_measurements(record: RunRecord) -> list[Measurement]:
    """All measurements of the winning snapshot, every pairing."""
    winner = _winner(record)
    return list(winner.measurements) if winner else []


def paper_tables() -> dict[float, list[dict[str, float]]]:
    """The paper's Tables 1-3: lambda to its rows of epoch and six metrics."""
    text = pages.content("paper_tables.csv")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    tables: dict[float, list[dict[str, float]]] = {}
    for row in csv.DictReader(lines):
        numbers = {name: float(value) for name, value in row.items()}
        tables.setdefault(numbers.pop("lambda"), []).append(numbers)
    return tables


def _headings(record: RunRecord, columns: Sequence[Column]) -> list[dict[str, str]]:
    """Metric and pair of each column, and what counts as good by the records' own direction."""
    headings = []
    for column in columns:
        measurements = [item for trial in record.trials for item in figures.measures(trial, column).values()]
        name, _, pair = column.title.partition(" ")
        aim = AIMS[measurements[0].direction] if measurements else ""
        headings.append({"title": name, "pair": pair or f"{column.pairing} reals", "aim": aim})
    return headings


@dataclass(frozen=True)
class LambdaTable:
    """All numbers of one gradient-penalty weight."""

    gp_lambda: float
    seeds: int
    failed: list[str]
    """Trials of it that failed."""
    rows: list[Row]
    references: list[float | None]
    """Reals against reals, a column each."""
    paper: dict[int, list[float]]
    """The paper's numbers by epoch where they do not stand beside ours."""


def _tables(record: RunRecord, against: str) -> list[LambdaTable]:
    """A table per lambda: this run's rows, the reference, and the paper's numbers where it has that lambda.

    The paper's number stands in the cell of the same epoch; where the run lacks one of its epochs, all stand below.
    """
    columns, published = figures.columns(against), paper_tables()
    tables = []
    for gp_lambda, group in figures.by_lambda(record).items():
        rows = _rows(record, group, columns)
        paper = {int(row["epoch"]): list(row.values())[1:] for row in published.get(gp_lambda, ())}
        side_by_side = set(paper) <= {row.epoch for row in rows}
        for row in rows:
            row.paper = paper.get(row.epoch) if side_by_side else None
        tables.append(
            LambdaTable(
                gp_lambda=gp_lambda,
                seeds=len(group),
                failed=[trial.trial.name for trial in group if _has_failed(trial)],
                rows=rows,
                references=[_mean(_references(group, column)) for column in columns],
                paper={} if side_by_side else paper,
            )
        )
    return tables


@dataclass(frozen=True)
class Cell:
    """A number of the tables: the measurement of a single seed, or the mean and range of several."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass
class Row:
    """All numbers of one epoch of one lambda."""

    epoch: int
    cells: list[Cell]
    wins: bool
    paper: list[float] | None = None
    """The paper's numbers of that epoch."""


def _rows(record: RunRecord, group: Sequence[TrialRecord], columns: Sequence[Column]) -> list[Row]:
    """Rows by epoch."""
    winner = _winner(record)
    trials = {trial.trial for trial in group}
    measured = [[figures.measures(trial, column) for trial in group] for column in columns]
    epochs = sorted({epoch for column in measured for seed in column for epoch in seed})
    return [
        Row(
            epoch=epoch,
            cells=[_cell([seed[epoch] for seed in column if epoch in seed]) for column in measured],
            wins=winner is not None and winner.trial in trials and winner.epoch == epoch,
        )
        for epoch in epochs
    ]


def _cell(items: Sequence[Measurement]) -> Cell:
    if len(items) == 1:
        return Cell(items[0].value, items[0].low, items[0].high)
    values = [item.value for item in items]
    return Cell(_mean(values), min(values), max(values)) if values else Cell(None)


def _references(group: Iterable[TrialRecord], column: Column) -> list[float]:
    references = [item.reference for trial in group for item in figures.measures(trial, column).values()]
    return [reference for reference in references if reference is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _caveats(record: RunRecord) -> list[str]:
    """What a reader must know before believing a number: random parts, leaks, what is missing."""
    config, notes = record.config, []
    frozen = {trial.training.frozen.name for trial in record.trials if trial.training} - {""}
    if config and config.model.frozen_weights == "random":
        notes.append(
            "The critic's diagnostic branch has random weights, not RadImageNet's; it is not the paper's critic."
        )
    elif frozen:
        notes.append(f"The critic's diagnostic branch is frozen: {', '.join(sorted(frozen))}.")
    evaluations = [trial.evaluation for trial in record.trials if trial.evaluation]
    for label, networks in (
        ("KID and FID", [item.extractor for item in evaluations]),
        ("LPIPS", [item.lpips for item in evaluations]),
    ):
        described = {f"{network.name}: {network.note}" for network in networks if network and network.note}
        notes += [f"{label} – {note}" for note in sorted(described)]
    sides = record.data.whole.splits if record.data else None
    if sides and sides.given:
        if sides.leak.patients:
            notes.append("The source's manifest puts some patients on both sides of the split (see Data).")
    elif config and config.data.split == "image":
        notes.append("The split is by image, as in the paper: some patients are on both sides of it (see Data).")
    notes += _omitted(evaluations)
    return notes


def _omitted(evaluations: Iterable[Evaluation]) -> list[str]:
    """What the evaluations left out, with the reason, each once."""
    lines = {
        f"Not measured: {item.key if item.key != '*' else 'a whole snapshot'} – {item.reason}."
        for evaluation in evaluations
        for item in evaluation.omitted
    }
    return sorted(lines)


@dataclass(frozen=True)
class Section:
    """A section of the configuration; a setting that differs from its preset is marked."""

    name: str
    rows: list[tuple[str, str, bool]]


def _settings(config: Config | None) -> list[Section]:
    if config is None:
        return []
    values, preset = config.flat(), PRESETS[config.preset].flat()
    sections: dict[str, list[tuple[str, str, bool]]] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(section or "experiment", []).append((key, _shown(value), preset[name] != value))
    return [Section(name, rows) for name, rows in sections.items()]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value != "" else "–"


@dataclass(frozen=True)
class TrialRow:
    """A trial in the table of the training."""

    name: str
    status: str
    epochs: str
    train_s: float | None
    device: str
    cost: float
    run_id: str


def _trial_row(trial: TrialRecord, hour_price: float) -> TrialRow:
    training = trial.training
    return TrialRow(
        name=trial.trial.name,
        status=trial.status.lower(),
        epochs=f"{training.epochs_done} of {training.epochs}" if training else "–",
        train_s=training.train_s if training else None,
        device=(training.device if training else "") or "–",
        cost=(training.train_s if training else 0.0) / 3600 * hour_price,
        run_id=trial.run_id,
    )


@dataclass(frozen=True)
class Total:
    """Seconds of training of all trials, those on a GPU among them, and what they cost."""

    train_s: float
    gpu_s: float
    cost: float


def _total(record: RunRecord) -> Total:
    trained = [trial.training for trial in record.trials if trial.training]
    train_s = sum(item.train_s for item in trained)
    gpu_s = sum(item.train_s for item in trained if item.device.startswith("cuda"))
    return Total(train_s, gpu_s, train_s / 3600 * _hour_price(record))
