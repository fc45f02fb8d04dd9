"""The report of a run: one self-contained HTML page, and its pictures as PNGs, from what MLflow holds.

It answers from the top: the verdict and what it rests on, how the lambdas compare, what is in production, the synthetic
images, whether they copy and whether they help. Below, folded on a screen and open in print: data, curves and the
paper's tables, samples over epochs, the decision in full, settings.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mammogan import storage
from mammogan.config import PRESETS, Config
from mammogan.records import WITH_REALS, Link, Production, RunRecord
from mammogan.reporting import figures, findings, marks, pages, subgroup_tables, tables, verdict
from mammogan.results import Candidate, Evaluation
from mammogan.selection import comparison
from mammogan.selection.pairing import pairing_of_run

PAGE = "report.html"


def build(record: RunRecord, out: Path, production: Production | None = None, link: Link | None = None) -> Path:
    """Write the page and its pictures to the folder ``out``; returns the page. Works for a run that failed early.

    ``production`` is what the page says to be in production; None that nothing is. ``link`` opens the run's comparison
    in MLflow; None for none.
    """
    against = pairing_of_run(record)
    pictures = _pictures(record, against)
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    shows_reals = bool(record.config and record.config.report.real_images)
    decision, winner, result = record.decision, _winner(record), record.findings.result
    page = (
        pages.environment()
        .get_template("report.html")
        .render(
            record=record,
            link=link,
            decision=decision,
            production=production,
            marks=marks.of_run(record, production),
            tone=marks.tone_of(record, production),
            status=marks.of_status(record.status),
            lead=verdict.lead(decision),
            winner=f"{verdict.trial(winner.trial)}, epoch {winner.epoch}" if winner else "",
            is_it_real=verdict.is_it_real(decision),
            figures=verdict.figures(winner, result) if winner else [],
            test_set=verdict.test_set(result) if result else "",
            result=tables.result_table(result) if result else None,
            trained_on=verdict.data(record),
            trained=verdict.trials(record),
            in_production=verdict.in_production(record, production),
            words=[comparison.sentence(item) for item in decision.comparisons] if decision else [],
            comparison=tables.comparison(decision) if decision else None,
            design=comparison.describe_design(decision.comparisons[0].design)
            if decision and decision.comparisons
            else "",
            epochs=tables.epoch_tables(record, against),
            measures=tables.measure_rows(winner.measurements, winner.decided_by()) if winner else [],
            trials=tables.trial_table(record),
            caveats=_caveats(record),
            failed=[trial for trial in record.trials if trial.status != "FINISHED"],
            data=record.data,
            settings=_settings(record.config),
            findings=findings.content(record.findings, real_images=shows_reals),
            captions=findings.CAPTIONS,
            subgroups=subgroup_tables.part(record.findings),
            own_pictures={name: base64.b64encode(content).decode() for name, content in pictures.items()},
            real_images=shows_reals and bool(WITH_REALS & record.findings.pictures.keys()),
        )
    )
    storage.write_bytes(str(out / PAGE), page.encode())
    return out / PAGE


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
