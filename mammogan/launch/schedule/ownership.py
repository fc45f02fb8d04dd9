"""Whose a recurring run is: one line in its description, because Kubeflow lets nothing else be attached to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

VERSION = 1
BEFORE_OWNERS = "mammogan: made from schedules.yaml, change it there"
"""What stood there before owners were recorded."""
_LINE = re.compile(r"mammogan schedule v(?P<version>\d+): owner=(?P<owner>[A-Za-z0-9._-]{1,63});.*", re.DOTALL)


class Kind(StrEnum):
    """What a description says of who made the recurring run."""

    OWNED = "owned"
    """A file of a known owner."""
    UNOWNED = "unowned"
    """A file, before owners were recorded."""
    NEWER = "newer"
    """A file of a known owner, by a later version of this project."""
    FOREIGN = "foreign"
    """Somebody else, who is left alone."""


@dataclass(frozen=True)
class Mark:
    """Who made a recurring run."""

    kind: Kind
    owner: str = ""


def describe(owner: str) -> str:
    """The description that records an owner."""
    return f"mammogan schedule v{VERSION}: owner={owner}; made from a schedules file, change it there"


def mark(description: str) -> Mark:
    """What a description says."""
    if description == BEFORE_OWNERS:
        return Mark(Kind.UNOWNED)
    if not (match := _LINE.fullmatch(description)):
        return Mark(Kind.FOREIGN)
    return Mark(Kind.OWNED if int(match["version"]) == VERSION else Kind.NEWER, match["owner"])
