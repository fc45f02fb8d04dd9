"""Mammogan: synthetic mammograms of the rare class, from CBIS-DDSM to a registered WGAN-GP generator."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported: nothing goes out unasked

__version__ = "0.1.0"
