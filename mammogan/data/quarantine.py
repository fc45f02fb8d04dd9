"""What could not be used, and why: nothing is ever dropped without a row in ``quarantine.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from mammogan import storage

FILE = "quarantine.csv"


@dataclass(frozen=True, order=True)
class Bad:
    """One input that was left out."""

    image_id: str
    """Image it would have become; empty where the row does not tell."""
    source: str
    """File, or CSV and line, relative to the source or labels folder."""
    reason: str
    """What is wrong with it."""
    mend: str
    """What to do about it."""


class BadImageError(ValueError):
    """An image that cannot be used: carries the reason and the mend for its quarantine row."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"{reason}; {mend}")
        self.reason = reason
        self.mend = mend


def write(bad: Iterable[Bad], folder: Path) -> Path:
    """Write the sorted rows to ``folder/quarantine.csv``, a header alone where there are none."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image_id", "source", "reason", "mend"))
    rows.writerows(astuple(row) for row in sorted(set(bad)))
    path = folder / FILE
    storage.write_bytes(str(path), text.getvalue().encode())
    return path
