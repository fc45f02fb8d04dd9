"""One section in a process of its own, within its limit of time."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from gpu_sections.record import Failure, Figures, Record
from gpu_sections.setting import Setting

WHOLE = "the section"
"""Label of what ended a section, rather than a part of it."""

Receive = Callable[[Figures | Failure], None]


class Outcome(StrEnum):
    """How a section ended."""

    PASSED = "passed"
    FAILED = "failed"
    """Something could not be measured, or is wrong; what could be is there."""
    TIMED_OUT = "timed out"
    NOT_RUN = "not run"
    RUNNING = "running"
    """What the files of a run that was cut off say of its last section."""


@dataclass(frozen=True)
class Section:
    """A module to run, and for how long at most."""

    name: str
    module: str
    limit_s: float
    least_s: float = 15.0
    """Left in all, below which it is not begun."""


def run_section(module: str, setting: Setting, limit_s: float, log: Path, receive: Receive) -> Outcome:
    """Run ``measure`` of a module; what it sends goes to ``receive`` at once, its output to the end of ``log``.

    It and all that it started are gone when this returns or raises.
    """
    context = setting.context()
    receiver, sender = context.Pipe(duplex=False)
    failed = False

    def pass_on(message: Figures | Failure) -> None:
        nonlocal failed
        failed = failed or isinstance(message, Failure)
        receive(message)

    with _process_group() as group, receiver:
        process = context.Process(target=_measure, args=(module, setting, sender, log, group))
        process.start()
        sender.close()
        try:
            ended = _listen(receiver, process, time.monotonic() + limit_s, pass_on)
        finally:
            if process.is_alive():
                process.kill()  # it may not have come to join its group yet
        process.join()
        if not ended:
            pass_on(Failure(WHOLE, f"stopped after {limit_s:.0f} s"))
            return Outcome.TIMED_OUT
        if process.exitcode:
            pass_on(Failure(WHOLE, _ending(process.exitcode)))
        return Outcome.FAILED if failed else Outcome.PASSED


@contextmanager
def _process_group() -> Generator[int]:
    """Number of a group for processes that are all killed at the end.

    Its first member does nothing but hold the number: that of a section that has ended may soon be another process's.
    It ends when this process does.
    """
    holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0)
    try:
        yield holder.pid
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


def _listen(receiver: Connection, process: BaseProcess, deadline: float, receive: Receive) -> bool:
    """Whether the process ended before the deadline (``time.monotonic``); receives all that it sent until then."""
    while (left := deadline - time.monotonic()) > 0:
        ready = wait([receiver, process.sentinel], left)
        if receiver in ready:
            try:
                receive(receiver.recv())
            except EOFError:
                process.join(max(0.0, deadline - time.monotonic()))
                return process.exitcode is not None
        elif ready:
            return True
    return False


def _measure(module: str, setting: Setting, connection: Connection, log: Path, group: int) -> None:
    """The new process: in its group, output to the log, and what it cannot do is sent."""
    os.setpgid(0, group)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.INFO)
    record = Record(connection)
    with record.case(WHOLE):
        importlib.import_module(module).measure(setting, record)


def _ending(exitcode: int) -> str:
    return f"killed by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"ended with status {exitcode}"
