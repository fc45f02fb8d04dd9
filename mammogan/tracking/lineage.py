"""Where a model comes from, down to the sha256 of each source file, and what came of a run, a data set or a file.

One walk serves both ways: it finds the pipeline runs that the target touches, and tells for each what lies behind it
(image, code, data, source files) and what came of it (trials, model versions with their aliases).
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mammogan.tracking.environment import GIT_COMMIT, GIT_DIRTY, IMAGE
from mammogan.tracking.server import DATA_DIGEST, KIND, MANIFEST_FILE, PARENT, TRIAL, client, experiments, find_runs

SOURCE_FIELDS = ("image_id", "source", "source_uid", "source_sha256", "patient_id", "split")
MODEL_PREFIX = "models:/"


def lineage(target: str, experiment: str = "", tracking_uri: str = "") -> dict[str, Any]:
    """``{"target", "runs": [...]}``: every pipeline run that the target is part of, with all before and after it.

    ``target`` is a run id (of a pipeline run or of a trial), ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``,
    ``data:DIGEST`` (or its beginning), or ``source:TEXT``, a sha256 or a series UID of a source file. The last two are
    looked for in ``experiment``, in all where it is empty. Raises ValueError for a target that is not found.
    """
    mlflow = client(tracking_uri)
    kind, _, text = target.partition(":")
    if target.startswith(MODEL_PREFIX):
        parents, wanted = [_parent(mlflow, _model_run(mlflow, target))], None
    elif kind == "data":
        parents, wanted = _with_digest(mlflow, experiment, text), None
    elif kind == "source":
        parents, wanted = _with_source(mlflow, experiment, text), text
    else:
        parents, wanted = [_parent(mlflow, target)], None
    if not parents:
        raise ValueError(f"target={target!r}: no run of {experiment or 'any experiment'} knows it")
    return {"target": target, "runs": [_describe(mlflow, parent, wanted) for parent in parents]}


def _model_run(mlflow: MlflowClient, target: str) -> str:
    name, at, alias = target.removeprefix(MODEL_PREFIX).partition("@")
    try:
        if at:
            version = mlflow.get_model_version_by_alias(name, alias)
        else:
            name, _, number = name.rpartition("/")
            version = mlflow.get_model_version(name, number)
    except MlflowException as error:
        raise ValueError(
            f"target={target!r}: no such model; write models:/NAME@ALIAS or models:/NAME/VERSION"
        ) from error
    if not version.run_id:
        raise ValueError(f"target={target!r}: this version was not registered by a run")
    return version.run_id


def _parent(mlflow: MlflowClient, run_id: str) -> Run:
    """The pipeline run itself, or the one above a trial's run."""
    try:
        run = mlflow.get_run(run_id)
        above = run.data.tags.get(PARENT) if run.data.tags.get(KIND) == "trial" else None
        return mlflow.get_run(above) if above else run
    except MlflowException as error:
        raise ValueError(f"target={run_id!r}: no such run; give a run id or models:/NAME@ALIAS") from error


def _pipelines(mlflow: MlflowClient, experiment: str) -> list[Run]:
    return find_runs(mlflow, experiments(mlflow, experiment), {KIND: "pipeline"})


def _with_digest(mlflow: MlflowClient, experiment: str, digest: str) -> list[Run]:
    if not digest:
        raise ValueError("target='data:': give the beginning of a data digest behind the colon")
    return [run for run in _pipelines(mlflow, experiment) if run.data.tags.get(DATA_DIGEST, "").startswith(digest)]


def _with_source(mlflow: MlflowClient, experiment: str, text: str) -> list[Run]:
    return [run for run in _pipelines(mlflow, experiment) if any(_sources(mlflow, run.info.run_id, text))]


def _sources(mlflow: MlflowClient, run_id: str, wanted: str | None) -> Iterator[dict[str, str]]:
    """Rows of the run's manifest: all, or those whose source has the sha256 or UID ``wanted``."""
    if MANIFEST_FILE not in {item.path for item in mlflow.list_artifacts(run_id)}:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(mlflow.download_artifacts(run_id, MANIFEST_FILE, folder))
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                if wanted is None or wanted in (row["source_sha256"], row["source_uid"]):
                    yield {name: row[name] for name in SOURCE_FIELDS}


def _describe(mlflow: MlflowClient, parent: Run, wanted: str | None) -> dict[str, Any]:
    tags, run_id = parent.data.tags, parent.info.run_id
    children = find_runs(mlflow, [parent.info.experiment_id], {PARENT: run_id, KIND: "trial"})
    return {
        "run": {
            "run_id": run_id,
            "name": parent.info.run_name,
            "status": parent.info.status,
            "kfp_run": tags.get("kfp.pipeline_run_id"),
        },
        "image": tags.get(IMAGE),
        "code": {"commit": tags.get(GIT_COMMIT), "dirty": tags.get(GIT_DIRTY)},
        "data": {"digest": tags.get(DATA_DIGEST), "sources": list(_sources(mlflow, run_id, wanted))},
        "trials": [_trial(child) for child in children],
        "models": [
            model for run in (*children, parent) for model in _models(mlflow, run.info.run_id, run.data.tags.get(TRIAL))
        ],
    }


def _trial(child: Run) -> dict[str, Any]:
    return {"run_id": child.info.run_id, "trial": child.data.tags[TRIAL], "status": child.info.status}


def _models(mlflow: MlflowClient, run_id: str, trial: str | None) -> Iterator[Mapping[str, Any]]:
    found: list[ModelVersion] = mlflow.search_model_versions(f"run_id = '{run_id}'")
    for version in found:
        aliases = mlflow.get_registered_model(version.name).aliases
        yield {
            "name": version.name,
            "version": str(version.version),
            "aliases": sorted(alias for alias, number in aliases.items() if str(number) == str(version.version)),
            "trial": trial,
            "epoch": version.tags.get("epoch"),
            "snapshot_sha256": version.tags.get("mammogan.snapshot_sha256"),
        }
