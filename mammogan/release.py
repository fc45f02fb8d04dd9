"""The steps after registration: fill up the data set, audit it, measure its use; all logged to MLflow and the model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammogan import findings, registry, storage, tracking
from mammogan.audit import audit_dataset
from mammogan.config import Config
from mammogan.console import say
from mammogan.registry import notes
from mammogan.synthesis import fill, load_model
from mammogan.tracking.findings import STEPS, log_findings
from mammogan.utility import study


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
    summary = fill(model, place.dataset, label, config, str(place.out))
    made = summary["synthetic"]
    with tempfile.TemporaryDirectory() as folder:
        storage.write_bytes(str(Path(folder, STEPS["synthetic"])), json.dumps(made, indent=1).encode())
        numbers = {"synthetic/images": made["images"], "synthetic/drawn": made["drawn"]}
        log_findings(place.run, "synthetic", Path(folder), numbers)
    return summary


def audit(version: str, config: Config, place: Place) -> dict[str, Any]:
    """Audit the filled data set; a version that is refused does not stay champion where there is one to go back to."""
    result = audit_dataset(place.dataset, config, place.out)
    log_findings(place.run, "audit", place.out, findings.numbers(result["records"], "audit"))
    failed = [item["gate"] for item in result["verdicts"] if not item["passed"]]
    told = f"refused: {', '.join(failed)}" if failed else "passed"
    _note(config, version, "audit", told, findings.Findings(audit=result))
    tracking.set_tags(place.run, {"mammogan.audit": told})
    say(f"audit of version {version}: {told}")
    if failed and notes.is_champion_with_predecessor(config.select.model_name, version):
        move = registry.rollback(config.select.model_name, f"the audit {told}")
        say(f"version {move.version} is champion again")
    return result


def utility(version: str, config: Config, place: Place) -> Mapping[str, Any]:
    """Measure what the filled data set is good for."""
    result = study(place.dataset, config, place.out)
    numbers = findings.numbers(result["records"], "utility") | findings.numbers(result["effects"], "utility_effect")
    log_findings(place.run, "utility", place.out, numbers)
    _note(config, version, "utility", result["verdict"], findings.Findings(utility=result))
    tracking.set_tags(place.run, {"mammogan.utility": result["verdict"]})
    say(f"utility: {result['verdict']}")
    return result


def _note(config: Config, version: str, step: str, told: str, found: findings.Findings) -> None:
    """Put the step's result on the registered version: a tag, and a section of its model card."""
    notes.write(config.select.model_name, version, step, told, "\n".join(findings.card_lines(found)))
