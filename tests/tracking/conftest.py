"""Fixtures of the databases."""

from measured_run import measured_run  # noqa: F401
from mlflow_databases import database, little_code, quick_runs  # noqa: F401
