"""A kind of input: how a broken one is made in a folder, and what the product does with it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Outcome(StrEnum):
    """What became of a case."""

    RESULT = "result"
    REFUSED = "refused"
    TRACEBACK = "traceback"
    """An error of another type than the command line shows in one line, or of several lines."""
    LOSS = "loss"
    """Something went missing without a word, or a result is not what it says."""
    ESCAPE = "escape"
    """A file was written outside of the case's folder, or code of the input ran."""
    MEMORY = "memory"
    CRASH = "crash"
    """The process ended by a signal."""
    HANG = "hang"


GOOD = (Outcome.RESULT, Outcome.REFUSED)


class LossError(AssertionError):
    """What the oracle of a kind says of a result that is none."""


@dataclass(frozen=True)
class Case:
    """One attempt: its number makes its input, always the same one."""

    kind: str
    seed: int
    number: int

    def rng(self) -> random.Random:
        """The source of all that is random in it."""
        return random.Random(f"{self.kind}/{self.seed}/{self.number}")


@dataclass(frozen=True)
class Kind:
    """A kind of input."""

    name: str
    write: Callable[[random.Random, Path], None]
    """Writes a broken input into an empty folder."""
    read: Callable[[Path, Path], None]
    """Gives the folder to the product, with an empty one for what that writes. Raises LossError, or what it raises."""


@dataclass(frozen=True)
class Verdict:
    """What became of a case, and why."""

    outcome: Outcome
    detail: str = ""
    peak_mb: int = 0
    """Most memory that the process had in it."""
    cpu_s: float = 0.0
    core_s: float = 0.0
    """Seconds of the processor, of the making of its input too."""

    def line(self) -> bytes:
        """As a child tells its parent."""
        return json.dumps([self.outcome, self.detail, self.peak_mb, self.cpu_s, self.core_s]).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Verdict:
        """Inverse of ``line``."""
        outcome, *rest = json.loads(line)
        return cls(Outcome(outcome), *rest)


def judged(error: Exception) -> Verdict:
    """What an error of the product is: a refusal of one line, or a fault."""
    text = f"{type(error).__module__}.{type(error).__name__}: {error}"
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)  # ty: ignore[invalid-argument-type]
    if any(isinstance(error, MemoryError) for error in chain) or "MemoryError" in text or "allocate memory" in text:
        return Verdict(Outcome.MEMORY, text[:500])
    if isinstance(error, LossError):
        return Verdict(Outcome.LOSS, str(error)[:500])
    ours = type(error).__module__.startswith("mammogan")
    plain = type(error) in (ValueError, RuntimeError) or (
        isinstance(error, OSError) and type(error).__module__ == "builtins"
    )
    one_line = str(error).strip() and len(str(error).splitlines()) == 1
    if (ours or plain) and one_line:
        return Verdict(Outcome.REFUSED)
    return Verdict(Outcome.TRACEBACK, f"{text[:400]} at {_place(error)}")


def _place(error: Exception) -> str:
    at, place = error.__traceback__, ""
    while at is not None:
        code = at.tb_frame.f_code
        if f"{os.sep}mammogan{os.sep}" in code.co_filename:
            place = f"{Path(code.co_filename).name}:{at.tb_lineno}"
        at = at.tb_next
    return place
