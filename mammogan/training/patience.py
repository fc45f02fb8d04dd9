"""Waiting for a store that is away for a minute, so that a network fault costs time and not a training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mammogan import console, storage

PAUSES_S = (1, 2, 4, 8, 15, 30, 30)
Result = TypeVar("Result")


def patiently(work: Callable[[], Result], uri: str) -> Result:
    """Result of reading from or writing to ``uri``; a remote one is tried again for a minute and a half.

    A missing file and a local disk's errors are raised at once: waiting mends neither.
    """
    for pause_s in PAUSES_S if storage.is_remote(uri) else ():
        try:
            return work()
        except FileNotFoundError:
            raise
        except Exception as error:
            console.say(f"{uri}: {type(error).__name__}: {error}; trying again in {pause_s} s")
            time.sleep(pause_s)
    return work()
