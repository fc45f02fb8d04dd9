"""Fixtures of the filled data set and of registered models."""

from filled_dataset import _write_dataset, dataset, model, snapshot  # noqa: F401
from mlflow_databases import little_code  # noqa: F401
