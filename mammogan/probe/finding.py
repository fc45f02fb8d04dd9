"""One thing that was looked at, and its way through a pod's log."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass

from mammogan import addresses

STORE, SOURCE, MLFLOW, ACCELERATOR, RIGHTS = "object store", "source", "MLflow", "accelerator", "rights"
"""Names of the probe's findings."""
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MAMMOGAN_SOURCE_SECRET_ACCESS_KEY",
    "MAMMOGAN_SOURCE_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
"""Environment variables whose values never appear in a finding."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    said: str
    """What was found, in one line, and if it is wrong what to do."""


def masked(text: str) -> str:
    """``text`` in one line without the secrets of this process's environment and without sign-ins in addresses."""
    for name in SECRETS:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return " ".join(addresses.masked(text).split())


@dataclass(frozen=True)
class Findings:
    """The object that ``probe --json`` prints."""

    findings: list[Finding]


def from_log(log: str) -> list[Finding]:
    """Findings out of what a pod wrote, where warnings may stand around the object; none where it is not there.

    Entries that are no findings are left out.
    """
    decoder = json.JSONDecoder()
    for match in re.finditer(r"^\{", log, re.MULTILINE):
        try:
            document, _ = decoder.raw_decode(log, match.start())
        except ValueError:
            continue
        if isinstance(document.get("findings"), list):
            return [item for entry in document["findings"] if (item := _read(entry))]
    return []


def _read(entry: object) -> Finding | None:
    if not isinstance(entry, dict):
        return None
    what, ok, message = (entry.get(name) for name in ("what", "ok", "said"))
    return (
        Finding(what, ok, message)
        if isinstance(what, str) and isinstance(ok, bool) and isinstance(message, str)
        else None
    )
