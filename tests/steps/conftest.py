"""Fixtures of the databases."""

from mlflow_databases import database, quick_runs  # noqa: F401
