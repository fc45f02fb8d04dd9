"""The generator as an MLflow pyfunc model: a folder with signature, input example and its own code, no pickle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from mammogan.registry import contents

if TYPE_CHECKING:
    from mammogan.synthesis import Model

CODE = Path(__file__).parents[1]
"""This package, which goes with the model."""
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
        code_paths=[str(CODE)],
        signature=SIGNATURE,
        input_example={"n": [4], "seed": [0], "truncation": [1.0]},
        pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        metadata=dict(metadata),
    )


def snapshot_of(model_uri: str, folder: Path, tracking_uri: str = "") -> Path:
    """The generator's snapshot inside a registered model, copied to ``folder``; raises as ``contents.fetch`` does."""
    name, version = contents.version_of(model_uri, tracking_uri)
    return contents.fetch(name, version, folder, tracking_uri).snapshot


def generator_of(name: str, version: str, tracking_uri: str = "") -> Model:
    """Generator of a version, with which its images are marked; raises as ``contents.fetch`` does."""
    from mammogan.synthesis import load_model

    with tempfile.TemporaryDirectory() as folder:
        snapshot = snapshot_of(f"models:/{name}/{version}", Path(folder, "model"), tracking_uri)
        return load_model(snapshot, f"{name}-v{version}")


def generate(model_uri: str, count: int, seed: int, truncation: float = 1.0, tracking_uri: str = "") -> np.ndarray:
    """Images (count, H, W), uint8, of a registered model such as ``models:/mammogan@champion``.

    Made by this software from the model's snapshot, which holds numbers alone; what else lies in the model's folder is
    not run, as MLflow's own ``load_model`` would. Raises ValueError for values outside the model's ranges, and as
    ``contents.version_of`` and ``contents.fetch`` do.
    """
    # PyTorch takes seconds to import, and most that asks the registry makes no image
    from mammogan.models.generator import load_generator
    from mammogan.serving import GeneratorService

    with tempfile.TemporaryDirectory() as folder:
        service = GeneratorService(load_generator(snapshot_of(model_uri, Path(folder, "model"), tracking_uri)))
    requests = pd.DataFrame({"n": [count], "seed": [seed], "truncation": [truncation]})
    return np.asarray(service.predict(requests, {"format": "array"}))
