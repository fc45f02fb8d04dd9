"""Signs of life: the tags by which the janitor knows that a process works on a run.

They bear the time of MLflow's server, so that no clock of a node, fast or slow, makes a living run look silent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Generator

from mlflow.exceptions import MlflowException

from mammogan.tracking import clock

HEARTBEAT = "mammogan.heartbeat_ms"
PROCESS = "mammogan.process"
EVERY_S = 30.0


def beat(tracking_uri: str = "") -> dict[str, str]:
    """Tag of a sign of life, now."""
    return {HEARTBEAT: str(clock.now_ms(tracking_uri))}


def sign_on(tracking_uri: str = "") -> dict[str, str]:
    """Tags of a process that begins to work on a run."""
    return {**beat(tracking_uri), PROCESS: f"{socket.gethostname()}:{os.getpid()}"}


def sign_off(tracking_uri: str = "") -> dict[str, str]:
    """Tags of a process that leaves a run which goes on without it, as after training and before evaluation."""
    return {**beat(tracking_uri), PROCESS: "none"}


@contextlib.contextmanager
def beating(sign: Callable[[], None], every_s: float) -> Generator[None]:
    """Give a sign of life every so often until the block ends; a server that is away costs only the sign."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every_s):
            with contextlib.suppress(MlflowException):
                sign()

    threading.Thread(target=beat, name="signs of life", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def process_is_gone(signature: str) -> bool:
    """Whether ``PROCESS`` names a process of this machine that has ended; False when that cannot be known."""
    machine, _, process = signature.rpartition(":")
    if machine != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
