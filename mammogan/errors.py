"""Errors that somebody catches by their class, and any error as one line or with its whole traceback."""

from __future__ import annotations

import dis
import re
import traceback
from collections.abc import Iterator
from pathlib import PurePosixPath

from mammogan.addresses import masked

MOST_CHARACTERS = 200_000
"""Of a traceback; the middle of a longer one is left out."""
_files: set[str] = set()
"""Names of files that no ``anonymous_reason`` repeats."""
WITHHELD = "what it says may name a patient and stands in the step's log alone"


class NotEnoughDataError(ValueError):
    """A data set is sound but too small for what was asked of it: a step then has no result, which is no fault."""


class LoggedError(RuntimeError):
    """A failure whose message names the log that has the whole of it."""


def first_line(error: BaseException) -> str:
    """The first line of the error's message; its type's name where it has none."""
    return _message(error) or type(error).__name__


def _message(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def reason(error: BaseException) -> str:
    """The error in one line, without passwords in addresses.

    Messages of ValueError, RuntimeError and OSError are written to stand alone; others follow their type's name.
    """
    first = _message(error)
    return masked(first) if isinstance(error, ValueError | RuntimeError | OSError) and first else typed_reason(error)


def typed_reason(error: BaseException) -> str:
    """The error in one line that begins with its type, as the last line of a traceback does."""
    first = _message(error)
    return masked(f"{type(error).__name__}: {first}" if first else type(error).__name__)


def traceback_text(error: BaseException) -> str:
    """The whole traceback with the errors behind it, as Python prints it, without passwords in addresses."""
    return _bounded("".join(traceback.format_exception(error)))


def keep_private(file: str) -> None:
    """Have no ``anonymous_reason`` of this process repeat a path below a source, which may bear a patient's name."""
    _files.update({file, PurePosixPath(file).name})


def anonymous_reason(error: BaseException) -> str:
    """As ``reason`` where this project wrote the message; else its type, for a library's words may quote a file's name.

    Of an error of the operating system, what went wrong without where; of a file that ``keep_private`` was told, what
    kind it is.
    """
    if _is_ours(error):
        return _without_files(reason(error))
    said = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return f"{type(error).__name__}{said}: {WITHHELD}"


def anonymous_traceback(error: BaseException) -> str:
    """As ``traceback_text``: the lines of code, and of each error its ``anonymous_reason``."""
    parts = [
        "".join(
            (
                "Traceback (most recent call last):\n",
                *traceback.format_tb(each.__traceback__),
                f"{type(each).__name__}: {anonymous_reason(each)}\n",
            )
        )
        for each in _chain(error)
    ]
    return _bounded("\nwhich led to:\n\n".join(reversed(parts)))


def _without_files(text: str) -> str:
    """The text with a file's kind in place of its path, all in one pass: what stands for one is no other one's name."""
    names = "|".join(map(re.escape, sorted(_files, key=len, reverse=True)))
    return (
        re.sub(rf"(?<![\w.])(?:{names})(?!\w)", lambda found: f"*{PurePosixPath(found[0]).suffix}", text)
        if names
        else text
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, as Python prints them, last one first."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _is_ours(error: BaseException) -> bool:
    """Whether the message was written in this package: one of its ``raise`` made the error.

    One that came from another process has lost where it was raised: an OSError without a number is none of the system.
    """
    if isinstance(error, OSError):
        return error.errno is None
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or place.tb_frame.f_globals.get("__name__", "").partition(".")[0] != __package__:
        return False
    return dis.opname[place.tb_frame.f_code.co_code[place.tb_lasti]] == "RAISE_VARARGS"


def _bounded(text: str) -> str:
    """The text without passwords in addresses, whole or without its middle."""
    text = text.encode(errors="replace").decode()
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return masked(text)
