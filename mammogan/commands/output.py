"""Standard output and error whose reader has gone, as ``head`` does when it has enough: the command ends silently."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TextIO

UNREAD = 128 + signal.SIGPIPE
"""What a shell calls the end of a program that wrote to nobody."""
STREAMS = (1, 2)
"""Descriptors of standard output and error."""


def is_unread() -> bool:
    """Whether standard output or error is a pipe or a terminal with nobody at its other end."""
    poll = select.poll()
    for stream in STREAMS:
        poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class Output:
    """Standard output and error as a command finds them."""

    def __init__(self) -> None:
        self._places, self._streams = _places(), (sys.stdout, sys.stderr)

    def status(self, code: int) -> int:
        """The status of a command that ended with ``code``; UNREAD where its reader went away before all was written.

        Nothing is written to nobody afterwards, when Python ends.
        """
        lost = [not _is_flushed(stream) for stream in self._streams]
        # rich and click end a command that can write no more as one that failed, and leave these traces
        replaced = _places() != self._places or (sys.stdout, sys.stderr) != self._streams
        if is_unread():
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in STREAMS:
                os.dup2(nowhere, stream)
        return UNREAD if any(lost) or replaced else code


def _places() -> list[tuple[int, int]]:
    """Device and inode of what is behind each descriptor; zeros for one that is closed."""
    places = []
    for stream in STREAMS:
        try:
            status = os.fstat(stream)
            places.append((status.st_dev, status.st_ino))
        except OSError:
            places.append((0, 0))
    return places


def _is_flushed(stream: TextIO | None) -> bool:
    """Whether all is written; of a stream that was closed before Python began, nothing is."""
    try:
        if stream is not None:
            stream.flush()
    except BrokenPipeError:
        return False
    return True
