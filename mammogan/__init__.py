"""Mammogan: synthetic mammograms of the rare class, from CBIS-DDSM to a registered WGAN-GP generator.

>>> import mammogan
>>> run = mammogan.run("demo")
>>> mammogan.generate("models:/mammogan@champion", 16, seed=0).shape

These names are those of ``mammogan.runs``, which is imported when one of them is first used: ``import mammogan`` itself
loads neither PyTorch nor MLflow nor kfp. All else is imported from its module, so that no program loads more than it
uses.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mammogan.runs import Run as Run
    from mammogan.runs import find as find
    from mammogan.runs import generate as generate
    from mammogan.runs import run as run
    from mammogan.runs import submit as submit

__all__ = ["Run", "__version__", "find", "generate", "run", "submit"]
__version__ = "0.1.0"

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported: nothing goes out unasked

_ROOT = Path(__file__).resolve().parents[1]
if (_ROOT / "pipeline.py").is_file() and (_ROOT / "components").is_dir():
    # a checkout keeps graph and components beside the package; a wheel and an image bring them inside
    __path__.append(str(_ROOT))

_OF_RUNS = frozenset(__all__) - {"__version__"}

if not TYPE_CHECKING:  # a type checker reads the imports above, and would take any name for one of these

    def __getattr__(name: str) -> object:
        """A name of ``mammogan.runs``, imported when it is asked for."""
        if name not in _OF_RUNS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module("mammogan.runs"), name)

    def __dir__() -> list[str]:
        """The public names, those that are not loaded yet too."""
        return sorted({*globals(), *_OF_RUNS})
