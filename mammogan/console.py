"""What a person sees while a command works: progress bars on a terminal, plain lines in a log.

A command shows one line for each record and error, and keeps the rest in ``log_file``. What a step shows is its log, on
a cluster its pod's and else the run's ``log.txt``, so it shows tracebacks too, each before the line that sums it up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from mammogan import errors, log_file
from mammogan.addresses import masked

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

PLAIN_INTERVAL_S = 10.0
WIDTH = 80
"""Columns of a terminal whose size is not known, and of what is to be copied."""
WIDE = 110
"""Columns that have room for a long bar."""


class Advance(Protocol):
    """Callable that a progress bar hands out."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Move the bar by ``steps`` and show ``note`` at its end."""


def no_progress(steps: int = 1, note: str = "") -> None:
    """An ``Advance`` for who does not show progress."""


class Verbosity(StrEnum):
    """How much is shown."""

    NORMAL = ""
    VERBOSE = "verbose"
    """Also the package's DEBUG records."""
    DEBUG = "debug"
    """Also tracebacks, and what other packages log from INFO on: their DEBUG records hold tokens and whole answers."""


VERBOSITY = "MAMMOGAN_VERBOSITY"
"""Variable that says how much is shown where no option does, as in the steps of a run."""
MARK, REASON_MARK = "MAMMOGAN_SAY_PREFIX", "MAMMOGAN_REASON_PREFIX"
"""Variables with what goes before each of our lines, and before the reason that ends a step: by that the local runner
tells them from others' lines."""
PACKAGE = logging.getLogger("mammogan")


class LineHandler(logging.Handler):
    """One line for each record on standard error, which leaves standard output to ``--json``.

    Passwords in addresses are masked. The mark that ``MARK`` gives goes before the line.
    """

    tracebacks = False
    """Whether a record's traceback is shown before its line; else the line says which file has it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message."""
        line = " ".join(masked(record.getMessage()).splitlines())
        error = record.exc_info[1] if record.exc_info else None
        trace = errors.traceback_text(error) if error and self.tracebacks else ""
        if error and not self.tracebacks and not isinstance(error, errors.LoggedError):
            file = log_file.kept_in(PACKAGE)
            line += f" (traceback in {file})" if file else " (--debug shows the traceback)"
        _print(f"{trace}{os.environ.get(MARK, '')}{line}")


def configure(verbosity: Verbosity | None = None) -> None:
    """Show what the package logs as lines on standard error, by ``$MAMMOGAN_VERBOSITY`` unless ``verbosity`` is given.

    Raises ValueError for a value of the variable that there is not.
    """
    handler = _handler()
    PACKAGE.addHandler(handler)
    PACKAGE.setLevel(logging.DEBUG)  # a log file takes them all
    PACKAGE.propagate = False
    _show(handler, Verbosity.NORMAL)  # also where the variable is wrong, which is an error to be shown
    _show(handler, _verbosity_wanted() if verbosity is None else verbosity)


def require() -> None:
    """``configure``, unless the program that called has chosen already where the package's lines go."""
    if not PACKAGE.hasHandlers():
        configure()


def configure_step() -> None:
    """As ``configure``, in a process that is a step: tracebacks are shown, also that of the error that ends it."""
    configure()
    _handler().tracebacks = True
    sys.excepthook = uncaught


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:  # noqa: ARG001
    """Show the error that ends a process, its reason as the last line: that is what is left of a pod's log."""
    lines = errors.traceback_text(error).splitlines()
    last = f"{os.environ.get(REASON_MARK, '')}{errors.typed_reason(error)}"
    _print("\n".join(lines if lines[-1] == last else [*lines, last]))


def verbosity() -> Verbosity:
    """How much is shown now."""
    handler = _handler()
    if handler in logging.getLogger().handlers:
        return Verbosity.DEBUG
    return Verbosity.VERBOSE if handler.level == logging.DEBUG else Verbosity.NORMAL


def _verbosity_wanted() -> Verbosity:
    value = os.environ.get(VERBOSITY, "")
    if value not in list(Verbosity):
        raise ValueError(f"{VERBOSITY}={value!r}: use {', '.join(filter(None, Verbosity))}, or leave it unset")
    return Verbosity(value)


def _handler() -> LineHandler:
    """The package's handler, or a new one."""
    return next((handler for handler in PACKAGE.handlers if isinstance(handler, LineHandler)), None) or LineHandler()


def _show(handler: LineHandler, verbosity: Verbosity) -> None:
    handler.setLevel(logging.INFO if verbosity is Verbosity.NORMAL else logging.DEBUG)
    handler.tracebacks = verbosity is Verbosity.DEBUG
    root = logging.getLogger()
    if verbosity is Verbosity.DEBUG:
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    elif handler in root.handlers:
        root.removeHandler(handler)
        root.setLevel(logging.WARNING)


def _print(text: str) -> None:
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _let_go()


def _let_go() -> None:
    """Print nowhere from now on: who read it has gone, as a pod's launcher that is ended before its step.

    That must not become the reason why the step ended: SIGTERM, which follows, is.
    """
    for number in (1, 2):
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def plain(*, width: int | None = None, stderr: bool = False) -> Console:
    """Where tables, trees and bars are drawn: what they hold is text, in which no bracket is a style or a link."""
    from rich.console import Console

    return Console(width=width, stderr=stderr, highlight=False, markup=False, emoji=False)


def width() -> int:
    """Columns of the terminal to which standard output goes; 80 where there is none, unless ``$COLUMNS`` tells."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """The text in lines of the terminal's width, broken between words; one line where there is no terminal.

    ``first`` stands before the first line, ``rest`` before the others. A word that is longer than a line is left whole.
    """
    if not sys.stdout.isatty():
        return [f"{first}{text}"]
    return textwrap.wrap(
        text,
        width(),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


def duration(seconds: float) -> str:
    """A time as a person says it: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def progress(description: str, total: int, done: int = 0, *, unit: str = "") -> Generator[Advance]:
    """Show the progress of ``total`` things, of which ``done`` were finished by an earlier run.

    ``description`` says what is done, and of which trial; ``unit`` what is counted, such as ``images``. A bar on a
    terminal; otherwise a line every ten seconds and one at the end, so that a pod's log stays short.
    """
    bar = _terminal_bar if sys.stderr.isatty() else _plain_lines
    with bar(description, total, done, unit) as advance:
        yield advance


@contextmanager
def _terminal_bar(description: str, total: int, done: int, unit: str) -> Generator[Advance]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    shown = plain(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=8 if shown.width < WIDE else 30),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
    )
    with Progress(*columns, console=shown, expand=True) as bars:  # a narrow screen cuts the note alone
        task = bars.add_task(description, total=total, completed=done, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bars.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _plain_lines(description: str, total: int, done: int, unit: str) -> Generator[Advance]:
    started = shown = time.monotonic()
    at_start, last_note = done, ""

    def line(now: float) -> str:
        rate = (done - at_start) / max(now - started, 1e-9)
        left = f", {duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        note = f"; {last_note}" if last_note else ""
        counted = f"{done} of {total} {unit}".rstrip()
        return f"{description}: {counted} in {duration(now - started)}{left}{note}"

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, shown, last_note
        done, last_note = done + steps, note or last_note
        now = time.monotonic()
        if done < total and now - shown >= PLAIN_INTERVAL_S:  # the end has a line of its own
            shown = now
            logger.info(line(now))

    yield advance
    logger.info(line(time.monotonic()))
