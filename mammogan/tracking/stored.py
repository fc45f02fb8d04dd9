"""Artifacts that a run is known to have: where they are gone that is an error, never "it did not happen".

Whoever reaches MLflow's server may be able to write over them. So the sha256 of those by which a version is judged
stand as tags of the run, which lie in MLflow's database.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from mammogan import shell
from mammogan.tracking.relocation import local_path
from mammogan.tracking.server import (
    CONFIG_FILE,
    DATA_DIGEST,
    DECISION_FILE,
    EVALUATION_FILE,
    EXTRACTOR,
    FINDINGS,
    FROZEN,
    MANIFEST_FILE,
    RESULT,
    RESULT_FILE,
    SHA256,
    SUMMARY_FILE,
    TRIAL_FILE,
    VERDICT,
    client,
)

WRITTEN_BEFORE = {
    CONFIG_FILE: DATA_DIGEST,
    SUMMARY_FILE: DATA_DIGEST,
    MANIFEST_FILE: DATA_DIGEST,
    DECISION_FILE: VERDICT,
    RESULT_FILE: RESULT,
    TRIAL_FILE: FROZEN,
    EVALUATION_FILE: EXTRACTOR,
    **{name: tag for name, tag in SHA256.items() if name.startswith(f"{FINDINGS}/")},
}
"""Artifact to the tag that its run gets only when that artifact is written."""


def names(mlflow: MlflowClient, run_id: str, folder: str = "") -> set[str]:
    """Paths of the artifacts directly in a folder of the run's."""
    return {item.path for item in mlflow.list_artifacts(run_id, folder or None)}


def read(mlflow: MlflowClient, run: Run, name: str) -> bytes:
    """Content of an artifact at the top of a run's, as ``checked``."""
    if name not in names(mlflow, run.info.run_id):
        return checked(run, name, None)
    with tempfile.TemporaryDirectory() as folder:
        content = Path(mlflow.download_artifacts(run.info.run_id, name, folder)).read_bytes()
    return checked(run, name, content)


def checked(run: Run, name: str, content: bytes | None) -> bytes:
    """What was found of an artifact, by its path among the run's, None being nothing; empty where it was never logged.

    Raises FileNotFoundError, which names the place, where the run's tags tell that it was, ValueError where it is
    another than the run recorded.
    """
    if content is None:
        if run.data.tags.get(WRITTEN_BEFORE.get(name, "")):
            raise FileNotFoundError(f"run {run.info.run_id}: {name} is gone from {run.info.artifact_uri}; {_fix()}")
        return b""
    recorded = run.data.tags.get(SHA256.get(name, ""))
    if recorded and recorded != (found := hashlib.sha256(content).hexdigest()):
        raise ValueError(
            f"run {run.info.run_id}: {name} is not the one that the run recorded (sha256 {found[:12]}, not "
            f"{recorded[:12]}): somebody has written over it; restore it, or run the pipeline again"
        )
    return content


def had_documents(run: Run) -> bool:
    """Whether the run's tags tell that documents of it were stored."""
    return any(run.data.tags.get(tag) for tag in (*WRITTEN_BEFORE.values(), *SHA256.values()))


def is_sealed(run_id: str, name: str, tracking_uri: str = "") -> bool:
    """Whether the run recorded the sha256 of an artifact, so that ``read`` tells whether it is still the same."""
    return bool(client(tracking_uri).get_run(run_id).data.tags.get(SHA256[name]))


def require_version(name: str, version: str, tracking_uri: str = "") -> None:
    """Raise FileNotFoundError where the files of a model's version were on this machine and are gone."""
    path = local_path(client(tracking_uri).get_model_version_download_uri(name, version))
    if path is not None and not path.is_dir():
        raise FileNotFoundError(f"model {name} version {version}: its files are gone from {path}; {_fix()}")


def _fix() -> str:
    command = f"{shell.command('mammogan')} relocate --out DIR"
    return f"move or restore that folder; after a move of the whole --out, `{command}` makes MLflow follow"
