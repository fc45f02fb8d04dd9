"""How long a process waits for a server that is away, S3 or MLflow: ``$MAMMOGAN_PATIENCE_S`` seconds, 60 where unset.

A request that failed for a reason that may pass is made again after pauses that grow, until that time is over since
it failed first; what waiting does not fix is raised at once.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

logger = logging.getLogger(__name__)

VARIABLE = "MAMMOGAN_PATIENCE_S"
DEFAULT_S = 60.0
FIRST_PAUSE_S = 0.5
"""Pause before the second attempt; doubled before each further one..."""
LONGEST_PAUSE_S = 15.0
"""...up to this, so that a server which is back is soon noticed."""
LOOK_S = 0.2
"""How often a thread that waits looks whether its pool has ended."""

Result = TypeVar("Result")

_thread = threading.local()
_quiet_until: dict[str, float] = {}
_telling = threading.Lock()


def seconds() -> float:
    """The patience of this process; 0 is none. Raises ValueError for what is no such number."""
    text = os.environ.get(VARIABLE) or str(DEFAULT_S)
    try:
        patience_s = float(text)
    except ValueError:
        patience_s = math.nan
    if not 0 <= patience_s < math.inf:
        raise ValueError(f"{VARIABLE}={text!r}: give the seconds to wait for a server that is away, such as 60")
    return patience_s


def retry(
    request: Callable[[], Result], server: str, may_pass: Callable[[Exception], bool], *, hidden: bool = False
) -> Result:
    """Result of a request to ``server``, made again while it fails with what ``may_pass``; then raises what it raised.

    A request must be one that may be made twice. Each pause is told of once, however many threads wait for the server;
    with ``hidden`` without the error's own words, which may name what was asked for.
    """
    patience_s, pause_s, until = seconds(), FIRST_PAUSE_S, math.inf
    while True:
        try:
            return request()
        except Exception as error:
            if not may_pass(error):
                raise
            now = time.monotonic()
            until = min(until, now + patience_s)
            if now >= until:
                raise
            pause_s = min(pause_s, LONGEST_PAUSE_S, until - now)
            why = "" if hidden else next(iter(str(error).splitlines()), "")
            _tell(server, why or type(error).__name__, pause_s, until - now)
            if not _slept(pause_s):
                raise
            pause_s *= 2


@contextmanager
def threads(count: int, stopped: Callable[[], bool] = lambda: False) -> Generator[ThreadPoolExecutor]:
    """Pool of threads that wait for no server any longer once the block is left, or ``stopped`` says so.

    Leaving drops what has not begun; else Ctrl-C would last as long as the patience of every thread.
    """
    left = threading.Event()

    def ended() -> bool:
        return left.is_set() or stopped()

    with ThreadPoolExecutor(count, initializer=setattr, initargs=(_thread, "ended", ended)) as pool:
        try:
            yield pool
        finally:
            left.set()
            pool.shutdown(cancel_futures=True)


def retries(factor_s: float, longest_s: float) -> int:
    """Retries by which a client of urllib3 waits for about the patience of this process, at least as long.

    Its pauses are 0, 2, 4, 8... times ``factor_s``, none longer than ``longest_s``; both in seconds, above 0.
    """
    count, waited_s = 0, 0.0
    while waited_s < seconds():
        waited_s += min(longest_s, factor_s * 2**count) if count else 0.0
        count += 1
    return count


def _tell(server: str, why: str, pause_s: float, left_s: float) -> None:
    now = time.monotonic()
    with _telling:
        if now < _quiet_until.get(server, 0.0):
            return
        _quiet_until[server] = now + pause_s
    logger.info(f"{server} is away ({why}); trying again in {pause_s:.2g} s, giving up in {left_s:.0f} s")


def _slept(pause_s: float) -> bool:
    """Whether the pause went by before this thread's pool ended."""
    until = time.monotonic() + pause_s
    while (left_s := until - time.monotonic()) > 0:
        if getattr(_thread, "ended", bool)():
            return False
        time.sleep(min(left_s, LOOK_S))
    return True
