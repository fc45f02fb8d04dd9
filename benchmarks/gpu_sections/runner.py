"""One section in a process of its own, within its limit of time."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from gpu_sections.record import Failure, Figures, Record
from gpu_sections.setting import Setting

WHOLE = "the section"
"""Label of what ended a section, rather than a part of it."""
# imported once, by the server from which all sections are forked; no CUDA starts by that
PRELOADED = ["torch", "torchvision.models", "pandas"]

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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(module, setting, sender, log))
    failed = False

    def pass_on(message: Figures | Failure) -> None:
        nonlocal failed
        failed = failed or isinstance(message, Failure)
        receive(message)

    process.start()
    sender.close()
    try:
        if not _listen(receiver, process, time.monotonic() + limit_s, pass_on):
            pass_on(Failure(WHOLE, f"stopped after {limit_s:.0f} s"))
            return Outcome.TIMED_OUT
        process.join()
        if process.exitcode:
            pass_on(Failure(WHOLE, _ending(process.exitcode)))
        return Outcome.FAILED if failed else Outcome.PASSED
    finally:
        _end(process)
        receiver.close()


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


def _measure(module: str, setting: Setting, connection: Connection, log: Path) -> None:
    """The new process: a group of its own, output to the log, and what it cannot do is sent."""
    os.setpgrp()
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


def _end(process: BaseProcess) -> None:
    """Kill the section and what it started, at whatever point they are."""
    if process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
