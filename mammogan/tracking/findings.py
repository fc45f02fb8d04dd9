"""What the steps after registration found, in the parent run: files, a table of numbers, a metric for a trend."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from mammogan import codec, results, storage
from mammogan.data.summary import FORMAT, SyntheticPart
from mammogan.records import Findings
from mammogan.results import AUC_GAIN, MEMORISED, Audit, Utility
from mammogan.tracking import points, stored
from mammogan.tracking.server import FINDINGS, SHA256, client
from mammogan.tracking.tables import AUDIT_FILE, UTILITY_FILE, audit_table, log_table, utility_table

Result = TypeVar("Result", Audit, Utility)
STEPS = {"synthetic": "synthetic.json", "audit": "audit.json", "utility": "utility.json"}
"""Step to the file that holds its result."""


def log_findings(run_id: str, step: str, folder: Path, tracking_uri: str = "") -> None:
    """Store the files directly in ``folder`` below ``findings/<step>`` of the run, and the result's sha256 as a tag."""
    mlflow = client(tracking_uri)
    for path in sorted(item for item in folder.iterdir() if item.is_file()):
        mlflow.log_artifact(run_id, str(path), f"{FINDINGS}/{step}")
    result = folder / STEPS[step]
    if result.is_file():
        mlflow.set_tag(run_id, SHA256[f"{FINDINGS}/{step}/{result.name}"], storage.sha256_of(result))


def log_audit(run_id: str, folder: Path, audit: Audit, tracking_uri: str = "") -> None:
    """Store what an audit left in ``folder``, its numbers as a table, and the one that a trend is drawn of."""
    log_findings(run_id, "audit", folder, tracking_uri)
    log_table(client(tracking_uri), run_id, f"{FINDINGS}/audit/{AUDIT_FILE}", audit_table(audit).document())
    log_results(run_id, {MEMORISED: audit.memorised}, tracking_uri)


def log_utility(run_id: str, folder: Path, utility: Utility, tracking_uri: str = "") -> None:
    """Store what a utility study left in ``folder``, its numbers as a table, and the one that a trend is drawn of."""
    log_findings(run_id, "utility", folder, tracking_uri)
    log_table(client(tracking_uri), run_id, f"{FINDINGS}/utility/{UTILITY_FILE}", utility_table(utility).document())
    log_results(run_id, {AUC_GAIN: utility.auc_gain}, tracking_uri)


def log_results(run_id: str, values: Mapping[str, float | None], tracking_uri: str = "") -> None:
    """Log what a whole pipeline run came to, by name; one that is not known is left out.

    A value that the run holds already is not sent again, so that a step which is run again doubles nothing.
    """
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    points.log_latest(client(tracking_uri), run_id, known, 0)


def read_findings(run_id: str, tracking_uri: str = "") -> Findings:
    """What was stored of a run; a step that was not reached is empty, and all are where the whole folder was purged.

    Raises ValueError for a result that is another than the run recorded, FileNotFoundError for one that is gone.
    """
    mlflow = client(tracking_uri)
    if FINDINGS not in stored.names(mlflow, run_id):
        return Findings()
    run = mlflow.get_run(run_id)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(mlflow.download_artifacts(run_id, FINDINGS, scratch))
        files = {step: folder / step / file for step, file in STEPS.items()}
        found = {step: file.read_bytes() if file.is_file() else None for step, file in files.items()}
        pictures = {path.stem: path.read_bytes() for path in folder.rglob("*.png")}
    documents = {
        step: stored.checked(run, f"{FINDINGS}/{step}/{STEPS[step]}", content) for step, content in found.items()
    }
    synthetic = documents["synthetic"]
    return Findings(
        synthetic=codec.loads(SyntheticPart, synthetic, FORMAT, _where(run_id, "synthetic")) if synthetic else None,
        audit=_parse(Audit, documents["audit"], _where(run_id, "audit")),
        utility=_parse(Utility, documents["utility"], _where(run_id, "utility")),
        pictures=pictures,
    )


def synthetic_document(part: SyntheticPart) -> bytes:
    """``synthetic.json`` of a filled data set."""
    return codec.dumps(part, FORMAT)


def _where(run_id: str, step: str) -> str:
    return f"run {run_id}: {STEPS[step]}"


def _parse(kind: type[Result], content: bytes, where: str) -> Result | None:
    return results.parse(kind, content, where) if content else None
