"""How many cores this process may fill: those that its pod asked for, else those of the machine.

A pod sees every core of its node, also those that its neighbours asked for. Threads that share too few cores spin
while they wait for each other, which made three trainings on two cores forty times as slow as one after the other.
"""

from __future__ import annotations

import os

VARIABLE = "MAMMOGAN_CORES"


def share() -> int:
    """``$MAMMOGAN_CORES``, at most the machine's. Raises ValueError for what is no whole number from 1."""
    here = len(os.sched_getaffinity(0))
    text = os.environ.get(VARIABLE) or str(here)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{VARIABLE}={text!r}: give the cores to use, a whole number from 1")
    return min(here, int(text))
