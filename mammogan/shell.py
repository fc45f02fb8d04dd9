"""Commands that a message prints, spelled so that the reader's shell runs them as they stand."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_GOES_ON = " \\"
"""Ends a line whose command goes on in the next one."""


def command(script: str) -> str:
    """What to type for a script that is installed beside this Python, such as ``mammogan`` or ``mlflow``.

    Its name where the shell finds that very one, else its path, from the working folder on where it lies below; where
    it is not installed, this Python with ``-m``.
    """
    python = Path(sys.executable)
    path = python.with_name(script)
    return _typed(path) if os.access(path, os.X_OK) else f"{_typed(python)} -m {script}"


def near(path: Path) -> str:
    """A path as it is typed here: from the working folder on where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def lines(command: Sequence[str], width: int) -> list[str]:
    """A command as a shell takes it, in lines of at most ``width`` letters where its words allow that.

    ``command`` is the program as ``command`` gives it, then its arguments; an option stays on the line of its value.
    """
    program, *arguments = command
    words: list[str] = [program]
    for word in map(shlex.quote, arguments):
        if words[-1].startswith("--") and " " not in words[-1]:
            words[-1] += f" {word}"
        else:
            words.append(word)
    drawn = [words[0]]
    for word in words[1:]:
        if len(drawn[-1]) + len(word) + len(" ") + len(_GOES_ON) > width:
            drawn[-1] += _GOES_ON
            drawn.append(f"    {word}")
        else:
            drawn[-1] += f" {word}"
    return drawn


def _typed(program: Path) -> str:
    path = shutil.which(program.name)
    if path and Path(path).absolute() == program:
        return program.name
    below = near(program)
    return shlex.quote(below if "/" in below else str(program))
