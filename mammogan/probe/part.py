"""A part of the probe in a process of its own, ended when its time is up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from mammogan.probe.finding import Finding, masked

GRACE_S = 5.0
"""After its time a part has so long to remove what it wrote."""


@dataclass(frozen=True)
class Part:
    """One thing to look at: ``look`` returns what it found in words, or raises with the fault and its fix."""

    what: str
    look: Callable[..., str]
    """A module's function, because the new process imports it by its name."""
    arguments: tuple[str, ...]
    limit_s: float
    fix: str
    """What to do where the time ran out."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its process, beside this one's."""


def look(parts: Sequence[Part]) -> list[Finding]:
    """A finding for each part, in order. All run at the same time, none longer than its limit and the grace."""
    started = [_start(part) for part in parts]
    begun = time.monotonic()
    return [_outcome(part, *handles, begun) for part, handles in zip(parts, started, strict=True)]


def _start(part: Part) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("spawn")  # a fork would share this process's threads and libraries' state
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(part, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _run(part: Part, result: Connection) -> None:
    """Body of the process: standard output belongs to the findings, so whatever a library prints goes elsewhere."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was written is removed
    os.environ.update(part.environment)
    result.send(_finding(part))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _finding(part: Part) -> Finding:
    try:
        return Finding(part.what, True, masked(part.look(*part.arguments)))
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip() or type(error).__name__
    except Exception as error:  # whatever a library raises is a fault of what was tried, and must be told
        reason = f"{type(error).__name__}: {error}"
    return Finding(part.what, False, masked(reason.partition("\n")[0]))


def _outcome(part: Part, process: Any, result: Connection, begun: float) -> Finding:  # noqa: ANN401  (a context's)
    left_s = max(0.0, begun + part.limit_s - time.monotonic())
    try:
        if result.poll(left_s):
            finding = result.recv()
            process.join(GRACE_S)
            return finding
    except EOFError:
        process.join(GRACE_S)
        return Finding(part.what, False, f"it was ended from outside ({_ending(process.exitcode)}); {part.fix}")
    finally:
        process.terminate()
        process.join(GRACE_S)
        process.kill()
        result.close()
    return Finding(part.what, False, f"no answer in {part.limit_s:g} s; {part.fix}")


def _ending(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
