"""What the steps after registration found, in the parent run: files, a table of numbers, a metric for a trend."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric

from mammogan import codec, results
from mammogan.data.summary import FORMAT, SyntheticPart
from mammogan.records import Findings
from mammogan.results import AUC_GAIN, MEMORISED, Audit, Utility
from mammogan.tracking.server import client
from mammogan.tracking.tables import AUDIT_FILE, UTILITY_FILE, audit_table, log_table, utility_table

Result = TypeVar("Result", Audit, Utility)
FOLDER = "findings"
STEPS = {"synthetic": "synthetic.json", "audit": "audit.json", "utility": "utility.json"}
"""Step to the file that holds its result."""


def log_findings(run_id: str, step: str, folder: Path, tracking_uri: str = "") -> None:
    """Store the files directly in ``folder`` below ``findings/<step>`` of the run."""
    mlflow = client(tracking_uri)
    for path in sorted(item for item in folder.iterdir() if item.is_file()):
        mlflow.log_artifact(run_id, str(path), f"{FOLDER}/{step}")


def log_audit(run_id: str, folder: Path, audit: Audit, tracking_uri: str = "") -> None:
    """Store what an audit left in ``folder``, its numbers as a table, and the one that a trend is drawn of."""
    log_findings(run_id, "audit", folder, tracking_uri)
    log_table(client(tracking_uri), run_id, f"{FOLDER}/audit/{AUDIT_FILE}", audit_table(audit).document())
    log_results(run_id, {MEMORISED: audit.memorised}, tracking_uri)


def log_utility(run_id: str, folder: Path, utility: Utility, tracking_uri: str = "") -> None:
    """Store what a utility study left in ``folder``, its numbers as a table, and the one that a trend is drawn of."""
    log_findings(run_id, "utility", folder, tracking_uri)
    log_table(client(tracking_uri), run_id, f"{FOLDER}/utility/{UTILITY_FILE}", utility_table(utility).document())
    log_results(run_id, {AUC_GAIN: utility.auc_gain}, tracking_uri)


def log_results(run_id: str, values: Mapping[str, float | None], tracking_uri: str = "") -> None:
    """Log what a whole pipeline run came to, by name; one that is not known is left out.

    A value that the run holds already is not sent again, so that a step which is run again doubles nothing.
    """
    mlflow, now = client(tracking_uri), time.time_ns() // 1_000_000
    known = mlflow.get_run(run_id).data.metrics
    metrics = [
        Metric(name, value, now, 0)
        for name, value in values.items()
        if value is not None and math.isfinite(value) and known.get(name) != value
    ]
    if metrics:
        mlflow.log_batch(run_id, metrics=metrics)


def read_findings(run_id: str, tracking_uri: str = "") -> Findings:
    """What was stored of a run; a step that was not reached is empty."""
    mlflow = client(tracking_uri)
    if FOLDER not in {item.path for item in mlflow.list_artifacts(run_id)}:
        return Findings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(mlflow.download_artifacts(run_id, FOLDER, scratch))
        files = {step: folder / step / file for step, file in STEPS.items()}
        pictures = {path.stem: path.read_bytes() for path in folder.rglob("*.png")}
        return Findings(
            synthetic=_read_synthetic(files["synthetic"], run_id),
            audit=_read(Audit, files["audit"], run_id),
            utility=_read(Utility, files["utility"], run_id),
            pictures=pictures,
        )


def synthetic_document(part: SyntheticPart) -> bytes:
    """``synthetic.json`` of a filled data set."""
    return codec.dumps(part, FORMAT)


def _read_synthetic(file: Path, run_id: str) -> SyntheticPart | None:
    where = f"run {run_id}: {file.name}"
    return codec.loads(SyntheticPart, file.read_bytes(), FORMAT, where) if file.is_file() else None


def _read(kind: type[Result], file: Path, run_id: str) -> Result | None:
    return results.parse(kind, file.read_bytes(), f"run {run_id}: {file.name}") if file.is_file() else None
