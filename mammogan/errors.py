"""Errors that somebody catches by their class, and any error as one line or with its whole traceback."""

from __future__ import annotations

import traceback

from mammogan.addresses import masked

MOST_CHARACTERS = 200_000
"""Of a traceback; the middle of a longer one is left out."""


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
    text = "".join(traceback.format_exception(error)).encode(errors="replace").decode()
    if len(text) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return masked(text)
