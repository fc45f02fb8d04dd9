"""What a person sees while a command works: progress bars on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from mammogan.addresses import masked

logger = logging.getLogger(__name__)

PLAIN_INTERVAL_S = 10.0


class Advance(Protocol):
    """Callable that a progress bar hands out."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Move the bar by ``steps`` and show ``note`` at its end."""


def no_progress(steps: int = 1, note: str = "") -> None:
    """An ``Advance`` for who does not show progress."""


class LineHandler(logging.Handler):
    """One line for each record on standard error, which leaves standard output to ``--json``.

    Passwords in addresses are masked. ``$MAMMOGAN_SAY_PREFIX`` goes before the line: by that the local runner tells
    our lines in a step's log from others'.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message; its traceback is for the log file."""
        try:
            line = masked(record.getMessage())
            print(f"{os.environ.get('MAMMOGAN_SAY_PREFIX', '')}{line}", file=sys.stderr, flush=True)
        except BrokenPipeError:
            _let_go()


def configure() -> None:
    """Show what the package logs as lines on standard error; a second call changes nothing."""
    package = logging.getLogger("mammogan")
    if not any(isinstance(handler, LineHandler) for handler in package.handlers):
        package.addHandler(LineHandler())
        package.setLevel(logging.INFO)
        package.propagate = False


def _let_go() -> None:
    """Print nowhere from now on: who read it has gone, as a pod's launcher that is ended before its step.

    That must not become the reason why the step ended: SIGTERM, which follows, is.
    """
    for number in (1, 2):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Generator[Advance]:
    """Show the progress of ``total`` steps, of which ``done`` were finished by an earlier run.

    A bar on a terminal; otherwise a line every ten seconds and one at the end, so that a pod's log stays short.
    """
    bar = _terminal_bar if sys.stderr.isatty() else _plain_lines
    with bar(description, total, done) as advance:
        yield advance


@contextmanager
def _terminal_bar(description: str, total: int, done: int) -> Generator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(description, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bars.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _plain_lines(description: str, total: int, done: int) -> Generator[Advance]:
    started = shown = time.monotonic()
    at_start, last_note = done, ""

    def line(now: float) -> str:
        rate = (done - at_start) / max(now - started, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        return f"{description}: {done}/{total} in {now - started:.0f} s{left}{'; ' + last_note if last_note else ''}"

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, shown, last_note
        done, last_note = done + steps, note or last_note
        now = time.monotonic()
        if now - shown >= PLAIN_INTERVAL_S:
            shown = now
            logger.info(line(now))

    yield advance
    logger.info(line(time.monotonic()))
