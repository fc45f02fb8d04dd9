"""Which MLflow is meant where none is named: that of the environment, else the runs of the working folder."""

from __future__ import annotations

import os
from pathlib import Path

from mammogan.addresses import DATABASE

ARTIFACTS = "artifacts"
"""MLflow's folder below ``--out``."""
VARIABLE = "MLFLOW_TRACKING_URI"
RUNS = Path("runs")
"""Folder of runs where none is named."""


def tracking_uri(given: str | None = None) -> str:
    """Address of MLflow: the one that is given, else ``$MLFLOW_TRACKING_URI``, else that of ``runs/mlflow.db``.

    Empty where there is none of these.
    """
    return given or os.environ.get(VARIABLE, "") or (address_of(RUNS) if (RUNS / DATABASE).is_file() else "")


def address_of(out: Path) -> str:
    """Address of the MLflow of a folder of runs."""
    from mammogan import tracking

    return tracking.address_of(out.resolve() / DATABASE)


def is_default(uri: str) -> bool:
    """Whether commands that are given no address ask ``uri``, here and now."""
    return bool(uri) and tracking_uri() == uri
