"""Mammogan: synthetic mammograms of the rare class, from CBIS-DDSM to a registered WGAN-GP generator."""

import os
from pathlib import Path

__all__ = ["__version__"]  # all else is imported from its module, so that no program loads more than it uses
__version__ = "0.1.0"

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported: nothing goes out unasked

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "pipeline.py").is_file() and (_ROOT / "components").is_dir():
    # a checkout keeps graph and components beside the package; a wheel and an image bring them inside
    __path__.append(str(_ROOT))
