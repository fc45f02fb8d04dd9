"""The report of a run: one self-contained HTML page, and its pictures as PNGs, from what MLflow holds.

It tells its story from the top: the verdict, what it stands on and what was lost, the data, the paper's tables and
figures for this run beside the paper's own numbers, the settings, and the decision in full.
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mammogan import storage
from mammogan.config import PRESETS
from mammogan.records import Production, RunRecord, TrialRecord
from mammogan.reporting import figures, findings
from mammogan.reporting.figures import Column
from mammogan.selection import gates

PAGE = "report.html"
AIMS = {"lower": "lower is better", "match_reference": "best near the reference"}


def rebuild(run_id: str, out: Path, tracking_uri: str = "") -> Path:
    """``build`` from what MLflow and its registry hold now. Raises ValueError where there is no run of that id."""
    from mammogan import registry, tracking

    record = tracking.read_run(run_id, tracking_uri)
    model = record.config.get("select", {}).get("model_name", "")
    return build(record, out, registry.in_production(model, tracking_uri) if model else None)


def build(record: RunRecord, out: Path, production: Production | None = None) -> Path:
    """Write the page and its pictures to the folder ``out``; returns the page. Works for a run that failed early.

    ``production`` is what the page says to be in production; None that nothing is.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    against = record.config.get("select", {}).get("against", "train")
    pictures = _pictures(record, against)
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    environment = Environment(
        loader=PackageLoader("mammogan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval, "date": date, "duration": duration}
    environment.filters["answer"] = gates.answer
    page = environment.get_template("report.html").render(
        record=record,
        against=against,
        decision=record.decision,
        production=production,
        pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
        columns=_headings(record, figures.columns(against)),
        tables=_tables(record, against),
        caveats=_caveats(record),
        lost=[trial for trial in record.trials if _is_lost(trial)],
        data=_data(record.data),
        settings=_settings(record.config),
        trials=[_trial_row(trial, record.config.get("hour_price", 0)) for trial in record.trials],
        total=_total(record),
        winner_measures=_winner_measures(record),
        findings=findings.section(record.findings),
        style=resources.files("mammogan.reporting").joinpath("templates", "report.css").read_text(),
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


def interval(measure: Mapping[str, Any]) -> str:
    """Interval of a record, or nothing where it has none."""
    if measure.get("low") is None or measure.get("high") is None:
        return ""
    return f"{number(measure['low'])} – {number(measure['high'])}"


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


def _is_lost(trial: TrialRecord) -> bool:
    return trial.status != "FINISHED"


def _pictures(record: RunRecord, against: str) -> dict[str, bytes]:
    size = record.config.get("data", {}).get("size", 0)
    drawn = {
        "winner": _winner_grid(record),
        "metrics": figures.metrics_figure(record, against),
        "samples": figures.samples_figure(record, size) if size else None,
        "losses": figures.losses_figure(record),
    }
    return {name: content for name, content in drawn.items() if content}


def _winner_grid(record: RunRecord) -> bytes | None:
    winner = record.decision.get("winner") or {}
    for trial in record.trials:
        if trial.trial.name == winner.get("trial"):
            return trial.grids.get(winner["epoch"])
    return None


def _winner_measures(record: RunRecord) -> list[dict[str, Any]]:
    """All records of the winning snapshot, every pairing."""
    winner = record.decision.get("winner") or {}
    return [
        item
        for trial in record.trials
        if trial.trial.name == winner.get("trial")
        for item in trial.evaluation.get("records", ())
        if item["epoch"] == winner["epoch"] and item["value"] is not None
    ]


def paper_tables() -> dict[float, list[dict[str, float]]]:
    """The paper's Tables 1-3: lambda to its rows of epoch and six metrics."""
    text = resources.files("mammogan.reporting").joinpath("templates", "paper_tables.csv").read_text()
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
        found = [item for trial in record.trials for item in figures.measures(trial, column).values()]
        name, _, pair = column.title.partition(" ")
        aim = AIMS.get(found[0]["direction"], "") if found else ""
        headings.append({"title": name, "pair": pair or f"{column.pairing} reals", "aim": aim})
    return headings


def _tables(record: RunRecord, against: str) -> list[dict[str, Any]]:
    """A table per lambda: this run's rows, the reference, and the paper's numbers where it has that lambda.

    The paper's number stands in the cell of the same epoch; where the run lacks one of its epochs, all stand below.
    """
    columns, published = figures.columns(against), paper_tables()
    tables = []
    for gp_lambda, group in figures.by_lambda(record).items():
        rows = _rows(record, group, columns)
        paper = {int(row["epoch"]): list(row.values())[1:] for row in published.get(gp_lambda, ())}
        beside = set(paper) <= {row["epoch"] for row in rows}
        for row in rows:
            row["paper"] = paper.get(row["epoch"]) if beside else None
        tables.append(
            {
                "gp_lambda": gp_lambda,
                "seeds": len(group),
                "lost": [trial.trial.name for trial in group if _is_lost(trial)],
                "rows": rows,
                "references": [_mean(_references(group, column)) for column in columns],
                "paper": {} if beside else paper,
            }
        )
    return tables


def _rows(record: RunRecord, group: Sequence[TrialRecord], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Rows by epoch: a cell is the record of a single seed, or the mean and range of several."""
    winner = record.decision.get("winner") or {}
    names = {trial.trial.name for trial in group}
    found = [[figures.measures(trial, column) for trial in group] for column in columns]
    epochs = sorted({epoch for column in found for seed in column for epoch in seed})
    return [
        {
            "epoch": epoch,
            "cells": [_cell([seed[epoch] for seed in column if epoch in seed]) for column in found],
            "wins": winner.get("trial") in names and winner.get("epoch") == epoch,
        }
        for epoch in epochs
    ]


def _cell(items: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if len(items) == 1:
        return items[0]
    values = [item["value"] for item in items]
    ends = {"low": min(values), "high": max(values)} if values else {}
    return {"value": _mean(values), **ends}


def _references(group: Iterable[TrialRecord], column: Column) -> list[float]:
    found = [item.get("reference") for trial in group for item in figures.measures(trial, column).values()]
    return [reference for reference in found if reference is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _caveats(record: RunRecord) -> list[str]:
    """What a reader must know before believing a number: random parts, leaks, what is missing."""
    config, notes = record.config, []
    frozen = {(trial.info.get("frozen") or {}).get("name", "") for trial in record.trials} - {""}
    if config.get("model", {}).get("frozen_weights") == "random":
        notes.append(
            "The critic's diagnostic branch has random weights, not RadImageNet's; it is not the paper's critic."
        )
    elif frozen:
        notes.append(f"The critic's diagnostic branch is frozen: {', '.join(sorted(frozen))}.")
    for part, label in (("extractor", "KID and FID"), ("lpips", "LPIPS")):
        found = [trial.evaluation.get(part) or {} for trial in record.trials]
        told = {f"{item.get('name', '')}: {item['note']}" for item in found if item.get("note")}
        notes += [f"{label} – {note}" for note in sorted(told)]
    if config.get("data", {}).get("split") == "image":
        notes.append("The split is by image, as in the paper: patients stand on both sides of it (see Data).")
    notes += _omitted(record)
    return notes


def _omitted(record: RunRecord) -> list[str]:
    """Measures that the evaluation left out, with the reason, each once."""
    found = {
        f"Not measured: {item['key'] if item['key'] != '*' else 'a whole snapshot'} – {item['reason']}."
        for trial in record.trials
        for item in trial.evaluation.get("omitted", ())
    }
    return sorted(found)


def _data(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of the whole set by side of the split, and of the class that was synthesised."""
    whole = summary.get("whole") or {}
    splits = whole.get("splits") or {}
    return {
        "name": summary.get("name", ""),
        "missing": summary.get("missing"),
        "data_digest": summary.get("data_digest", ""),
        "source": whole.get("source", ""),
        "subset": whole.get("subset", ""),
        "sides": {side: splits[side] for side in ("train", "test") if side in splits},
        "leak": splits.get("leak") or {},
        "quarantined": whole.get("quarantined"),
        "mixed_labels": whole.get("mixed_labels"),
    }


def _settings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sections of the configuration; a setting that differs from its preset is marked."""
    preset = PRESETS.get(config.get("preset", ""))
    defaults = preset.to_dict() if preset else {}
    top = {name: value for name, value in config.items() if not isinstance(value, dict)}
    sections = [("experiment", top, defaults)]
    sections += [(name, inner, defaults.get(name, {})) for name, inner in config.items() if isinstance(inner, dict)]
    return [
        {
            "name": name,
            "rows": [(key, _shown(value), key in given and given[key] != value) for key, value in values.items()],
        }
        for name, values, given in sections
        if values
    ]


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if value != "" else "–"


def _trial_row(trial: TrialRecord, hour_price: float) -> dict[str, Any]:
    info = trial.info
    return {
        "name": trial.trial.name,
        "status": trial.status.lower(),
        "epochs": f"{info['epochs_done']} of {info['epochs']}" if "epochs_done" in info else "–",
        "train_s": info.get("train_s"),
        "device": info.get("device", "–"),
        "cost": (info.get("train_s") or 0) / 3600 * hour_price,
        "run_id": trial.run_id,
    }


def _total(record: RunRecord) -> dict[str, float]:
    """Seconds of training of all trials, those on a GPU among them, and what they cost."""
    times = [(trial.info.get("train_s") or 0.0, str(trial.info.get("device", ""))) for trial in record.trials]
    train_s = sum(seconds for seconds, _ in times)
    gpu_s = sum(seconds for seconds, device in times if device.startswith("cuda"))
    return {"train_s": train_s, "gpu_s": gpu_s, "cost": train_s / 3600 * record.config.get("hour_price", 0)}
