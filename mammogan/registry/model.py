"""The generator as an MLflow pyfunc model: a folder with signature, input example and its own code, no pickle."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from mammogan import tracking

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "torch")

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


def save(snapshot: Path, path: Path, metadata: Mapping[str, str | int]) -> None:
    """Write a snapshot as an MLflow pyfunc model folder with signature, input example and this package's code."""
    mlflow.pyfunc.save_model(
        path=str(path),
        loader_module="mammogan.serving",
        data_path=str(snapshot),
        code_paths=[str(Path(__file__).parents[1])],
        signature=SIGNATURE,
        input_example={"n": [4], "seed": [0], "truncation": [1.0]},
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        metadata=dict(metadata),
    )


def snapshot_of(model_uri: str, folder: Path, tracking_uri: str = "") -> Path:
    """The generator's snapshot inside a registered model, copied to ``folder``; raises as ``generate`` does."""
    tracking.client(tracking_uri)
    with _known_model(model_uri):
        found = Path(mlflow.artifacts.download_artifacts(f"{model_uri}/data", dst_path=str(folder)))
    return next(path for path in sorted(found.iterdir()) if path.is_file())


def generate(model_uri: str, count: int, seed: int, truncation: float = 1.0, tracking_uri: str = "") -> np.ndarray:
    """Images (count, H, W), uint8, of a registered model such as ``models:/mammogan@champion``.

    Raises ValueError for an address that names no model, or for values outside the model's ranges.
    """
    tracking.client(tracking_uri)
    with _known_model(model_uri), _import_path_kept():
        model = mlflow.pyfunc.load_model(model_uri)
    requests = pd.DataFrame({"n": [count], "seed": [seed], "truncation": [truncation]})
    return np.asarray(model.predict(requests, params={"format": "array"}))


@contextmanager
def _import_path_kept() -> Generator[None]:
    """MLflow leaves a model's code first on ``sys.path``: a process started later would import that copy of us."""
    before = sys.path
    try:
        yield
    finally:
        sys.path = before


@contextmanager
def _known_model(model_uri: str) -> Generator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise ValueError(f"model={model_uri!r}: no such model; write it as models:/NAME@ALIAS ({error})") from error
