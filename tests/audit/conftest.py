"""Fixtures of the filled data set and of the databases."""

from filled_dataset import _write_dataset, dataset, model, snapshot  # noqa: F401
from mlflow_databases import database, quick_runs  # noqa: F401
