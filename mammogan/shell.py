"""Commands that a message prints, spelled so that the reader's shell runs them as they stand."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(script: str) -> str:
    """What to type for a script that is installed beside this Python, such as ``mammogan`` or ``mlflow``.

    Its name where the shell finds that very one, else its path, from the working folder on where it lies below; where
    it is not installed, this Python with ``-m``.
    """
    python = Path(sys.executable)
    path = python.with_name(script)
    return _typed(path) if os.access(path, os.X_OK) else f"{_typed(python)} -m {script}"


def _typed(program: Path) -> str:
    path = shutil.which(program.name)
    if path and Path(path).absolute() == program:
        return program.name
    here = Path.cwd()
    below = str(program.relative_to(here)) if program.is_relative_to(here) else ""
    return shlex.quote(below if "/" in below else str(program))
