"""SIGTERM and Ctrl-C while training: remembered, so that the loop leaves between two steps with its state whole."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_S = 7.0
"""From SIGTERM to leaving, so that with the interpreter's own end it is gone within ten seconds."""
ECHO_S = 1.0
"""A launcher passes on the Ctrl-C that its terminal has already sent to everybody; that is one request, not two."""


class Interruption:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._asked_at = 0.0

    def request(self, number: int, _frame: FrameType | None = None) -> None:
        """Remember the signal; a second one stops at once, and so does SIGTERM when saving takes over 7 s."""
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._asked_at = number, now
            if number == signal.SIGTERM:
                signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        elif now - self._asked_at > ECHO_S:
            raise KeyboardInterrupt

    def overdue(self, _number: int, _frame: FrameType | None = None) -> None:
        """Leave without having saved: a slow step or a silent store must not cost the grace period."""
        logger.info(f"not saved within {GRACE_S:.0f} s of SIGTERM; run again to continue from the last checkpoint")
        raise SystemExit(128 + signal.SIGTERM)

    def leave(self, number: int) -> None:
        """Stop the process the way signal ``number`` would have: KeyboardInterrupt, or SystemExit with 128 + it."""
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def deferred_signals() -> Generator[Interruption]:
    """Collect SIGTERM and SIGINT inside the block. Only the main thread may; elsewhere nothing is deferred."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    handlers = {**dict.fromkeys(SIGNALS, interruption.request), signal.SIGALRM: interruption.overdue}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield interruption
    finally:
        if interruption.signal == signal.SIGTERM:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
