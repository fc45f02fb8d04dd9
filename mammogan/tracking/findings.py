"""What the steps after registration found, in the parent run: a folder of artifacts each, and their numbers."""

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
from mammogan.results import Audit, Utility
from mammogan.tracking.server import client

Result = TypeVar("Result", Audit, Utility)
FOLDER = "findings"
STEPS = {"synthetic": "synthetic.json", "audit": "audit.json", "utility": "utility.json"}
"""Step to the file that holds its result."""


def log_findings(run_id: str, step: str, folder: Path, numbers: Mapping[str, float], tracking_uri: str = "") -> None:
    """Store the files directly in ``folder`` below ``findings/<step>``, and the finite numbers as ``log_numbers``."""
    mlflow = client(tracking_uri)
    for path in sorted(item for item in folder.iterdir() if item.is_file()):
        mlflow.log_artifact(run_id, str(path), f"{FOLDER}/{step}")
    log_numbers(run_id, numbers, tracking_uri)


def log_numbers(run_id: str, numbers: Mapping[str, float], tracking_uri: str = "") -> None:
    """Log the finite numbers as the run's metrics.

    A number that the run holds already is not sent again, so that a step which is run again doubles nothing.
    """
    mlflow, now = client(tracking_uri), time.time_ns() // 1_000_000
    known = mlflow.get_run(run_id).data.metrics
    values = [Metric(key, value, now, 0) for key, value in numbers.items() if math.isfinite(value)]
    mlflow.log_batch(run_id, metrics=[item for item in values if known.get(item.key) != item.value])


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
