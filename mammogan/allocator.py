"""What the C library keeps of freed memory.

glibc holds on to it in an arena for each thread, to use it again. An evaluation goes from one network to the next, each
with buffers of its own sizes, and what was kept for the one before stands beside what the next one needs.
"""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8
"""Of glibc's malloc.h."""


def share_one_arena() -> None:
    """Let threads that are yet to start take their memory from one place, where the C library can."""
    if setting := getattr(ctypes.CDLL(None), "mallopt", None):
        setting(M_ARENA_MAX, 1)


def give_back() -> None:
    """Return freed memory to the system, where the C library can."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
