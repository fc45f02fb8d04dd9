"""Where a run came from: the commit, the image and the packages that made it."""

from __future__ import annotations

import functools
import getpass
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

ENVIRONMENT_FILE = "environment.txt"
GIT_COMMIT = "mlflow.source.git.commit"
GIT_DIRTY = "mammogan.git_dirty"
IMAGE = "mammogan.image"
GPU_IMAGE = "mammogan.gpu_image"


def source_tags() -> dict[str, str]:
    """Tags naming the commit of the checkout and the container image, as far as they are known.

    A container has no checkout: there the commit is ``$MAMMOGAN_GIT_COMMIT``, which the image carries.
    """
    tags = {
        IMAGE: os.environ.get("MAMMOGAN_IMAGE", ""),
        GPU_IMAGE: os.environ.get("MAMMOGAN_GPU_IMAGE", ""),
        **origin_tags(),
    }
    if tags.get(GIT_COMMIT) and not os.environ.get("MAMMOGAN_GIT_COMMIT"):
        tags[GIT_DIRTY] = str(bool(_git("status", "--porcelain", "--untracked-files=no"))).lower()
    return {name: value for name, value in tags.items() if value}


def origin_tags() -> dict[str, str]:
    """Tags that fill the columns Source, Version and User of MLflow's page, as far as they are known."""
    tags = {
        "mlflow.source.name": "mammogan",
        "mlflow.source.type": "PROJECT",
        "mlflow.user": user(),
        GIT_COMMIT: os.environ.get("MAMMOGAN_GIT_COMMIT", "") or _git("rev-parse", "HEAD"),
    }
    return {name: value for name, value in tags.items() if value}


def user() -> str:
    """Name of the account that runs this; empty where it has none, as a container's numeric user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _git(*arguments: str) -> str:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603, S607
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


@functools.cache
def packages() -> str:
    """Python and every installed package with its version, a line each, in order."""
    versions = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    lines = [f"{name}=={version}" for name, version in sorted(versions.items(), key=lambda pair: pair[0].lower())]
    return "\n".join([f"# Python {sys.version.split()[0]}", *lines]) + "\n"
