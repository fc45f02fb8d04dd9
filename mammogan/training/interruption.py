"""SIGTERM and Ctrl-C while training: remembered, so that the loop leaves between two steps with its state whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def request(self, number: int, _frame: FrameType | None = None) -> None:
        """Remember the signal; the second one stops at once."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def leave(self) -> None:
        """Stop the process the way the signal would have: KeyboardInterrupt, or SystemExit with 128 + its number."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)


@contextmanager
def deferred_signals() -> Generator[Interruption]:
    """Collect SIGTERM and SIGINT inside the block. Only the main thread may; elsewhere nothing is deferred."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    previous = {number: signal.signal(number, interruption.request) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
