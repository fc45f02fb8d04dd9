"""What ties the steps of a local run to their runner: they end with it, and hold its folder until they have ended.

Without it a runner that is killed would leave its steps at work, and the same command would start others beside them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

from mammogan import lock

RUNNER = "MAMMOGAN_RUNNER"
"""Variable that names the runner's process: its number and when it began."""
LOCK = "MAMMOGAN_STEPS_LOCK"
"""Variable that names the file which every step of the folder holds."""
GRACE_S = 30.0
"""Time that a step has to save what it has, once its runner is gone."""
LOOK_S = 0.2

_held: list[int] = []
"""Open files whose locks end with this process."""


def variables(file: Path) -> dict[str, str]:
    """Environment of the steps that this process begins."""
    return {RUNNER: _signature(psutil.Process()), LOCK: str(file)}


def hold() -> None:
    """In a step of a local run: hold the run's folder as long as this process lives, and end with the runner.

    Then the step gets SIGTERM, and SIGKILL with all that it began after ``GRACE_S``. Elsewhere nothing is done. Raises
    SystemExit where the runner has gone already.
    """
    file, signature = os.environ.get(LOCK), os.environ.get(RUNNER)
    if not file or not signature or _held:
        return
    descriptor = lock.opened(Path(file))
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held.append(descriptor)
    runner = _process(signature)
    if runner is None:
        sys.exit("the run that began this step is gone")
    threading.Thread(target=_end_with, args=(runner,), name="tether", daemon=True).start()


def wait_until_free(file: Path, longest_s: float = GRACE_S + 5.0) -> bool:
    """Whether no step holds the folder any more; waits for those whose runner was killed."""
    descriptor = lock.opened(file)
    until = time.monotonic() + longest_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(LOOK_S)
            else:
                return True
    finally:
        os.close(descriptor)


def _signature(process: psutil.Process) -> str:
    return f"{process.pid}:{process.create_time()}"


def _process(signature: str) -> psutil.Process | None:
    """The process, unless it has ended, or another one has got its number."""
    try:
        process = psutil.Process(int(signature.partition(":")[0]))
        return process if _signature(process) == signature and _alive(process) else None
    except psutil.NoSuchProcess:
        return None


def _alive(process: psutil.Process) -> bool:
    """Whether it has not ended; one that has and that nobody has asked about is there still, as a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end_with(runner: psutil.Process) -> None:
    while _alive(runner):
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    os.kill(os.getpid(), signal.SIGKILL)
