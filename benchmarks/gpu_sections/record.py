"""What a section tells the process that started it, while it runs: figures, and what could not be measured."""

from __future__ import annotations

import math
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection


@dataclass(frozen=True)
class Figures:
    """Finite numbers under one label, their units in their names."""

    label: str
    values: dict[str, float]
    note: str = ""
    """What is not a number, such as the GPU's name."""


@dataclass(frozen=True)
class Failure:
    """What could not be measured, or came out wrong."""

    label: str
    reason: str
    """One line."""


class Record:
    """The section's end of the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, label: str, note: str = "", **values: float) -> None:
        """Send figures. Raises FloatingPointError, once the others are sent, for any that is NaN or infinite."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        if finite or note:
            self._connection.send(Figures(label, finite, note))
        wrong = [f"{name} is {value}" for name, value in values.items() if name not in finite]
        if wrong:
            raise FloatingPointError(f"{label}: {', '.join(wrong)}")

    @contextmanager
    def case(self, label: str) -> Generator[None]:
        """A part whose error is sent and must not cost the parts after it; the traceback goes to the log."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self._connection.send(Failure(label, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"))
