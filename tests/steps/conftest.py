"""Fixtures of the databases."""

from mlflow_databases import database, little_code, quick_runs  # noqa: F401
