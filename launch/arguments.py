"""What a user asks for, turned into the arguments of the graph: the same for every way to run it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammogan import config


def graph_arguments(
    preset: str,
    overrides: Mapping[str, Any],
    *,
    source: str = "",
    labels: str = "",
    experiment: str = "mammogan",
    force: bool = True,
) -> dict[str, Any]:
    """Arguments of the pipeline function for a preset, its overrides and where the data are.

    Without ``force`` the run stops before training where data, code and settings are those of the champion.
    Raises ValueError where the configuration is wrong, before anything runs.
    """
    text = json.dumps(dict(overrides), sort_keys=True)
    settings = config.resolve(preset, text)
    if not source and preset != "demo":
        raise ValueError("--source='': give a folder or an s3:// address with the images, or phantom")
    return {
        "branches": [branch.name for branch in settings.branches],
        "preset": preset,
        "overrides": text,
        "source": _absolute(source or "phantom"),
        "labels": _absolute(labels),
        "experiment": experiment,
        "force": force,
    }


def is_path(location: str) -> bool:
    """Whether a source or a file is given as a path, not as an address, the word phantom or nothing."""
    return location not in ("", "phantom") and "://" not in location


def _absolute(location: str) -> str:
    """A local path made absolute, because a step has a working folder of its own; anything else as it is."""
    path = Path(location).expanduser()
    return str(path.resolve()) if location and "://" not in location and path.exists() else location
