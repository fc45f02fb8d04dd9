"""What could not be used, and why: nothing is ever dropped without a row in ``quarantine.csv``."""

from __future__ import annotations

import csv
import io
import threading
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

from mammogan import storage
from mammogan.data.cells import one_line, shielded

FILE = "quarantine.csv"
_filters = threading.Lock()


@dataclass(frozen=True, order=True)
class RejectedImage:
    """One input that was left out."""

    image_id: str
    """Image it would have become; empty where the row does not tell."""
    source: str
    """File, or CSV and line, relative to the source or labels folder."""
    reason: str
    """What is wrong with it."""
    fix: str
    """What to do about it."""

    def __post_init__(self) -> None:
        """A reason may quote a file: it stays one line."""
        for name in ("reason", "fix"):
            object.__setattr__(self, name, one_line(getattr(self, name)))


class BadImageError(ValueError):
    """An image that cannot be used: carries the reason and the fix for its quarantine row."""

    def __init__(self, reason: str, fix: str) -> None:
        self.reason = one_line(reason)
        self.fix = one_line(fix)
        super().__init__(f"{self.reason}; {self.fix}")


def table(bad: Iterable[RejectedImage]) -> bytes:
    """The sorted rows as a CSV, a header alone where there are none; cells as ``cells``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image_id", "source", "reason", "fix"))
    rows.writerows(map(shielded, astuple(row)) for row in sorted(set(bad)))
    return text.getvalue().encode()


def write(bad: Iterable[RejectedImage], folder: Path) -> str:
    """Write the rows to ``folder/quarantine.csv``; returns its path."""
    path = str(folder / FILE)
    storage.write_bytes(path, table(bad))
    return path


@contextmanager
def warnings_as(action: Literal["ignore", "error"]) -> Generator[None]:
    """What to do with what a library warns of while it reads bytes that may be broken.

    Python's warning filters belong to the whole process, so one thread at a time is let in; reading a header is short.
    """
    with _filters, warnings.catch_warnings():
        warnings.simplefilter(action)
        yield
