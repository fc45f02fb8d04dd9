"""Fixtures of the databases."""

from mlflow_databases import database, empty_database, quick_runs  # noqa: F401
