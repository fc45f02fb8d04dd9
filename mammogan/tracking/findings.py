"""What the steps after registration found, in the parent run: a folder of artifacts each, and their numbers."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from mammogan.reporting.findings import Findings
from mammogan.tracking.server import client

FOLDER = "findings"
STEPS = {"synthetic": "synthetic.json", "audit": "audit.json", "utility": "utility.json"}
"""Step to the file that holds its result."""


def log_findings(run_id: str, step: str, folder: Path, numbers: Mapping[str, float], tracking_uri: str = "") -> None:
    """Store the files directly in ``folder`` below ``findings/<step>``, and the finite numbers as metrics.

    A number that the run holds already is not sent again, so that a step which is run again doubles nothing.
    """
    mlflow, now = client(tracking_uri), time.time_ns() // 1_000_000
    known = mlflow.get_run(run_id).data.metrics
    for path in sorted(item for item in folder.iterdir() if item.is_file()):
        mlflow.log_artifact(run_id, str(path), f"{FOLDER}/{step}")
    values = [Metric(key, value, now, 0) for key, value in numbers.items() if math.isfinite(value)]
    mlflow.log_batch(run_id, metrics=[item for item in values if known.get(item.key) != item.value])


def read_findings(run_id: str, tracking_uri: str = "") -> Findings:
    """What was stored of a run; a step that was not reached is empty."""
    mlflow = client(tracking_uri)
    if FOLDER not in {item.path for item in mlflow.list_artifacts(run_id)}:
        return Findings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(mlflow.download_artifacts(run_id, FOLDER, scratch))
        results: dict[str, Any] = {
            step: json.loads((folder / step / file).read_text())
            for step, file in STEPS.items()
            if (folder / step / file).is_file()
        }
        pictures = {path.stem: path.read_bytes() for path in folder.rglob("*.png")}
    return Findings(**results, pictures=pictures)
