"""Fixtures of the runs that are looked at."""

from measured_run import measured_run  # noqa: F401
from mlflow_databases import database, quick_runs  # noqa: F401
