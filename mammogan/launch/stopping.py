"""Stopping a local run: SIGTERM means what Ctrl-C means, and no step outlives the run that began it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator
from types import FrameType

import psutil

GRACE_S = 30.0
"""Time that the steps have to save what they have; a training needs up to ten seconds."""


@contextlib.contextmanager
def stoppable() -> Generator[None]:
    """Within the block SIGTERM and SIGINT end every process that was begun in it and raise KeyboardInterrupt.

    They are told at once, in the handler: Kubeflow's runner waits for its steps before it lets an exception by.
    """
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except KeyboardInterrupt:
        _wait_for_children()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(_number: int, _frame: FrameType | None) -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    raise KeyboardInterrupt


def _wait_for_children() -> None:
    _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=GRACE_S)
    for child in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
