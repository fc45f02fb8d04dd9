"""Artifacts of runs that tell of patients: found, in MLflow's trash too, and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mammogan import storage
from mammogan.tracking import stored
from mammogan.tracking.relocation import local_path
from mammogan.tracking.server import FINDINGS, KIND, MANIFEST_FILE, REPORT, TRACEBACKS, client, experiments, find_runs

OF_PATIENTS = (MANIFEST_FILE, FINDINGS, REPORT, TRACEBACKS)
"""Rows of the data set, the audit's pairs, pages that may show them, and what errors said of a source. Parameters,
numbers, decision and models stay."""


@dataclass(frozen=True)
class Held:
    """An artifact, or a folder of them, of one run."""

    run_id: str
    run_name: str
    path: str
    place: str
    """Address of the run's artifacts."""


@dataclass(frozen=True)
class Holdings:
    """What runs hold of patients, as far as their artifacts are found."""

    items: tuple[Held, ...]
    gone: tuple[Path, ...]
    """Where artifacts of runs were on this machine and are no more; nobody knows what they hold, wherever they are."""


def held(experiment: str = "", runs: Sequence[str] = (), tracking_uri: str = "") -> Holdings:
    """Artifacts that tell of patients: of these runs, or of an experiment's, or of all, those in the trash included.

    Raises ValueError for an experiment or a run that there is not.
    """
    mlflow = client(tracking_uri)
    parents = [_run(mlflow, run_id) for run_id in runs] if runs else _pipelines(mlflow, experiment)
    items: list[Held] = []
    gone: list[Path] = []
    for run in parents:
        there = stored.names(mlflow, run.info.run_id)
        name, place = run.info.run_name or run.info.run_id, run.info.artifact_uri or ""
        items += [Held(run.info.run_id, name, path, place) for path in OF_PATIENTS if path in there]
        if (folder := local_path(place)) and not folder.is_dir() and stored.had_documents(run):
            gone.append(folder)
    return Holdings(tuple(items), tuple(gone))


def remove(items: Sequence[Held]) -> None:
    """Remove artifacts for good, whether or not their run is in the trash; those already gone are no error."""
    for item in items:
        folder = local_path(item.place)
        if folder is None:
            get_artifact_repository(item.place).delete_artifacts(item.path)
        elif (path := folder / item.path).is_dir():
            storage.remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def _run(mlflow: MlflowClient, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_run(run_id)
    except MlflowException as error:
        raise ValueError(f"--run={run_id!r}: MLflow knows no such run; give the run id of a pipeline run") from error


def _pipelines(mlflow: MlflowClient, experiment: str) -> list[Run]:
    """Pipeline runs of the experiment of that name, or of all, whether in the trash or not."""
    return find_runs(mlflow, experiments(mlflow, experiment, ViewType.ALL), {KIND: "pipeline"}, ViewType.ALL)
