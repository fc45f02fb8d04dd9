"""The Kubeflow skin: one thin component a module, each a call into the library."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGE = "python:3.11"
"""Stands in for the project's image, which ``compile`` fills in; the local runner needs none."""

MOUNTS = Path("/etc/mammogan")
"""Where a pod of a run finds its settings and secrets: a folder for each ConfigMap and Secret, a file for each key."""

CORES = 1
"""Cores that a step fills whose pod does not say how many it asked for."""

REQUIRED_SETTINGS = ("MLFLOW_TRACKING_URI",)
"""Environment variables without which no step of a cluster can work."""


def step() -> Callable[[Callable[..., Any]], Any]:
    """Decorator of every component: the image holds kfp and the library, so nothing is installed at run time.

    In a pod, where kfp has no compiler (``_KFP_RUNTIME``), it leaves the function as it is.
    """
    if os.environ.get("_KFP_RUNTIME") == "true":
        return lambda function: function
    from kfp import dsl

    return dsl.component(base_image=IMAGE, install_kfp_package=False)


def version() -> str:
    """First 12 hex digits of the sha256 over the sources of the components, here or in an image."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
