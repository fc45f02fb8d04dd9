"""The steps after registration: fill up the data set, audit it, measure its use; all logged to MLflow and the model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammogan import registry, storage, tracking
from mammogan.audit import audit_dataset
from mammogan.config import Config, override
from mammogan.console import say
from mammogan.data import manifest
from mammogan.registry import notes
from mammogan.reporting import findings
from mammogan.selection import gates
from mammogan.synthesis import fill, load_model
from mammogan.synthesis.balance import missing
from mammogan.tracking.findings import STEPS, log_findings
from mammogan.utility import study

AUDITED_AT_LEAST = 32
"""Synthetic images below which an audit says nothing."""


@dataclass(frozen=True)
class Place:
    """Where a step works."""

    run: str
    """Run id of the pipeline run's parent."""
    dataset: Path
    """Data set that it reads."""
    out: Path
    """Folder that it writes."""


def synthesise(snapshot: Path, version: str, label: int, config: Config, place: Place) -> dict[str, Any]:
    """Fill up class ``label`` of the data set with the registered version's images; returns the new set's summary."""
    model = load_model(snapshot, f"{config.select.model_name}-v{version}")
    summary = fill(model, place.dataset, label, _with_count(config, place.dataset, label), str(place.out))
    made = summary["synthetic"]
    with tempfile.TemporaryDirectory() as folder:
        storage.write_bytes(str(Path(folder, STEPS["synthetic"])), json.dumps(made, indent=1).encode())
        numbers = {"synthetic/images": made["images"], "synthetic/drawn": made["drawn"]}
        log_findings(place.run, "synthetic", Path(folder), numbers)
    return summary


def _with_count(config: Config, dataset: Path, label: int) -> Config:
    """Configuration that also makes images where the class is short of few: as many as there are to learn from."""
    frame = manifest.read(dataset)
    try:
        short = missing(frame, label, config.synthesise)
        told = f"{short} images short of balance"
    except ValueError as error:
        short, told = 0, str(error)
    if short >= AUDITED_AT_LEAST or config.synthesise.count:
        return config
    count = max(short, int(((frame["split"] == "train") & (frame["label"] == label)).sum()))
    say(f"{told}; {count} images are made, so that there is something to audit")
    return override(config, {"synthesise.count": count})


def audit(version: str, critic: Path, config: Config, place: Place) -> dict[str, Any]:
    """Audit the filled data set, and say on run and version how many checks it passed and which could not be made.

    ``critic`` is the file of the critic that the version's generator was trained against.
    """
    try:
        result = audit_dataset(place.dataset, config, place.out, critic=critic)
    except ValueError as error:
        return _not_done(config, version, "audit", error, place)
    log_findings(place.run, "audit", place.out, findings.numbers(result["records"], "audit"))
    told = gates.tally(result["verdicts"])
    _note(config, version, "audit", told, findings.Findings(audit=result))
    tracking.set_tags(place.run, {"mammogan.audit": told})
    say(f"audit of version {version}: {told}")
    return result


def promote(version: str, dataset: Path, config: Config, run: str) -> registry.Move:
    """Make an audited version the champion, if the gates let it pass; the run's tag says why or why not.

    ``dataset`` is what the version was measured on: the champion is measured there too, if it never was.
    """
    rival = registry.rematch(version, dataset, config)
    move = registry.promote(config.select.model_name, version, f"selected by run {run}", rival=rival)
    tracking.set_tags(run, {tracking.PROMOTION: move.why})
    say(f"model {config.select.model_name} version {version}: {move.why}")
    return move


def utility(version: str, config: Config, place: Place) -> Mapping[str, Any]:
    """Measure what the filled data set is good for."""
    try:
        result = study(place.dataset, config, place.out)
    except ValueError as error:
        return _not_done(config, version, "utility", error, place)
    numbers = findings.numbers(result["records"], "utility") | findings.numbers(result["effects"], "utility_effect")
    log_findings(place.run, "utility", place.out, numbers)
    _note(config, version, "utility", result["verdict"], findings.Findings(utility=result))
    tracking.set_tags(place.run, {"mammogan.utility": result["verdict"]})
    say(f"utility: {result['verdict']}")
    return result


def _not_done(config: Config, version: str, step: str, error: ValueError, place: Place) -> dict[str, Any]:
    """Say on run and version that a data set was too small for a step; the run goes on, nothing counts as passed."""
    told = f"not done: {error}"
    notes.write(config.select.model_name, version, step, told, f"## {step.capitalize()}\n\n{told}")
    tracking.set_tags(place.run, {f"mammogan.{step}": told})
    say(f"{step}: {told}")
    place.out.mkdir(parents=True, exist_ok=True)
    return {}


def _note(config: Config, version: str, step: str, told: str, found: findings.Findings) -> None:
    """Put the step's result on the registered version: a tag, and a section of its model card."""
    notes.write(config.select.model_name, version, step, told, "\n".join(findings.card_lines(found)))
