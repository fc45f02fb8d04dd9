"""The generator in MLflow's model registry: saved as a pyfunc model, registered once, found by alias."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from mammogan import storage, tracking
from mammogan.config import Branch, Config

CHAMPION = "champion"
SNAPSHOT = "mammogan.snapshot_sha256"
PARENT_RUN = "mammogan.parent_run"
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "torch")
LONGEST_TAG = 5000
INHERITED_TAGS = (tracking.DATA_DIGEST, "mammogan.frozen", "mammogan.extractor", "mammogan.lpips")

SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.long, "n"),
            ColSpec(DataType.long, "seed"),
            ColSpec(DataType.double, "truncation", required=False),
        ]
    ),
    outputs=Schema([ColSpec(DataType.long, "seed"), ColSpec(DataType.long, "index"), ColSpec(DataType.binary, "png")]),
    params=ParamSchema([ParamSpec("format", DataType.string, "png")]),
)


def register(snapshot: Path, decision: Path, parent_id: str, config: Config, tracking_uri: str = "") -> str:
    """Version of the registered model that holds the decision's winner, made alias ``champion``.

    ``snapshot`` is the winner's file and ``decision`` the JSON file of the selection. The same snapshot of the same
    parent run is registered once. Raises ValueError for a decision that was not accepted, FileNotFoundError or
    ValueError for a snapshot that cannot be loaded.
    """
    made = json.loads(decision.read_text())
    if not made["accepted"]:
        raise ValueError(f"decision={made['verdict']!r}: only an accepted decision can be registered")
    client, name = tracking.client(tracking_uri), config.select.model_name
    tags = {PARENT_RUN: parent_id, SNAPSHOT: storage.sha256_of(snapshot)}
    number = _find_version(client, name, tags)
    number = number or _create_version(client, snapshot, made, config, tags, tracking_uri)
    client.set_registered_model_alias(name, CHAMPION, number)
    return number


def _winner_tags(decision: Mapping[str, Any], run_tags: Mapping[str, str]) -> dict[str, str]:
    """What a user of the model must know: how it was trained and chosen, and on what that stands."""
    winner = decision["winner"]
    branch = Branch.parse(winner["branch"])
    values = {key.replace("/", "."): f"{measure['value']:.6g}" for key, measure in winner["metrics"].items()}
    stands_on = {name: value for name, value in run_tags.items() if name in INHERITED_TAGS}
    told = {"lambda": f"{branch.gp_lambda:g}", "seed": str(branch.seed), "epoch": str(winner["epoch"])}
    return {**values, **stands_on, **told, "verdict": decision["verdict"]}


def _find_version(client: MlflowClient, name: str, tags: Mapping[str, str]) -> str:
    """Number of the version with this snapshot of this parent run; empty where there is none."""
    for found in client.search_model_versions(f"name = '{name}'"):
        if all(found.tags.get(key) == tags[key] for key in (SNAPSHOT, PARENT_RUN)):
            return str(found.version)
    return ""


def _create_version(
    client: MlflowClient,
    snapshot: Path,
    decision: Mapping[str, Any],
    config: Config,
    tags: Mapping[str, str],
    tracking_uri: str,
) -> str:
    parent_id, winner = tags[PARENT_RUN], decision["winner"]
    run_id = tracking.find_branch(parent_id, Branch.parse(winner["branch"]), tracking_uri) or parent_id
    run = client.get_run(run_id)
    experiment, all_tags = run.info.experiment_id, {**_winner_tags(decision, run.data.tags), **tags}
    short = {key: value[:LONGEST_TAG] for key, value in all_tags.items()}
    model = client.create_logged_model(experiment, "generator", source_run_id=run_id, tags=short, model_type="wgan-gp")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        save(snapshot, path, metadata={"size": config.data.size, "winner": winner["branch"], "epoch": winner["epoch"]})
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    name = config.select.model_name
    _ensure_registered_model(client, name)
    source = f"models:/{model.model_id}"
    created = client.create_model_version(name, source, run_id=run_id, tags=short, model_id=model.model_id)
    return str(created.version)


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name, description="Generator of synthetic mammograms of the rare class")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def save(snapshot: Path, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a snapshot as an MLflow pyfunc model folder with signature, input example and this package's code."""
    mlflow.pyfunc.save_model(
        path=str(path),
        loader_module="mammogan.serving",
        data_path=str(snapshot),
        code_paths=[str(Path(__file__).parent)],
        signature=SIGNATURE,
        input_example={"n": [4], "seed": [0], "truncation": [1.0]},
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        metadata=dict(metadata),
    )


def generate(model_uri: str, count: int, seed: int, truncation: float = 1.0, tracking_uri: str = "") -> np.ndarray:
    """Images (count, H, W), uint8, of a registered model such as ``models:/mammogan@champion``.

    Raises ValueError for an address that names no model, or for values outside the model's ranges.
    """
    tracking.client(tracking_uri)
    mlflow.set_tracking_uri(tracking_uri or mlflow.get_tracking_uri())
    try:
        model = mlflow.pyfunc.load_model(model_uri)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ValueError(f"model={model_uri!r}: no such model; write it as models:/NAME@ALIAS ({error})") from error
    requests = pd.DataFrame({"n": [count], "seed": [seed], "truncation": [truncation]})
    return np.asarray(model.predict(requests, params={"format": "array"}))
