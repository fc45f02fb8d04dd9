"""Rows of a run as a person sees them: a live table on a terminal, else one line for each change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mammogan.addresses import masked
from mammogan.console import plain
from mammogan.ledger import State, Task

if TYPE_CHECKING:
    from rich.console import Group

    from mammogan.launch.following.rows import Row

logger = logging.getLogger(__name__)

COLOURS = {State.DONE: "green", State.FAILED: "red", State.STOPPED: "yellow", State.RUNNING: "cyan"}
NOTE_EVERY_S = 60.0
"""How often a line tells how far a step is, where there is no terminal."""

Show = Callable[[Sequence["Row"], Sequence[str]], None]
"""Shows the rows, and below them what is to be said of the whole run."""


@contextmanager
def shown() -> Generator[Show]:
    """Show rows again and again, each time as they are now."""
    from rich.live import Live

    console = plain(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda rows, remarks: live.update(_drawn(rows, remarks))


class Lines:
    """Tells what changed since the last time."""

    def __init__(self) -> None:
        self._states: dict[Task, State] = {}
        self._remarks: tuple[str, ...] = ()
        self._printed_at_s: dict[Task, float] = {}

    def __call__(self, rows: Sequence[Row], remarks: Sequence[str]) -> None:
        """Say a line for each row that has another state, for a note of one that runs at most one a minute."""
        for row in rows:
            if row.state and self._is_news(row):
                self._states[row.task], self._printed_at_s[row.task] = row.state, time.monotonic()
                logger.info(_line(row))
        for remark in remarks:
            if remark not in self._remarks:
                logger.info(remark)
        self._remarks = tuple(remarks)

    def _is_news(self, row: Row) -> bool:
        if self._states.get(row.task) is not row.state:
            return True
        old = time.monotonic() - self._printed_at_s[row.task] >= NOTE_EVERY_S
        return bool(row.state is State.RUNNING and row.note and old)


def _line(row: Row) -> str:
    took = "" if row.state is State.RUNNING or row.seconds is None else f" after {row.seconds:.0f} s"
    return f"{row.task}: {row.state}{took}{f': {row.note}' if row.note else ''}"


def _drawn(rows: Sequence[Row], remarks: Sequence[str]) -> Group:
    from rich.console import Group
    from rich.table import Column, Table
    from rich.text import Text

    # a narrow screen folds the note, and cuts neither it nor a name
    names = [Column(name, no_wrap=True) for name in ("step", "trial", "state", "seconds")]
    table = Table(*names, Column("", overflow="fold", ratio=1))
    for row in rows:
        state = Text(row.state or "waits", COLOURS.get(row.state, "dim") if row.state else "dim")
        seconds = "" if row.seconds is None else f"{row.seconds:.0f}"
        table.add_row(Text(row.task.step), Text(row.task.trial), state, seconds, Text(masked(row.note)))
    return Group(table, *(Text(masked(remark)) for remark in remarks))
