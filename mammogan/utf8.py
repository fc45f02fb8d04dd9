"""Text is UTF-8 whatever the locale says: Python's UTF-8 mode, which Python 3.15 has by default (PEP 686)."""

from __future__ import annotations

import os
import sys

STREAMS = "PYTHONIOENCODING"
"""Variable that decides the streams' encoding even in UTF-8 mode."""


def require() -> None:
    """Start this program anew in UTF-8 mode, with the same arguments, where it or a stream is not in it.

    With another encoding a step's output could not be read back by the run that started it, nor paths and reasons be
    written to files and screen. Processes that this one starts are in that mode too.
    """
    told = STREAMS in os.environ and not all(map(_is_utf_8, (sys.stdout, sys.stderr)))
    if told:
        del os.environ[STREAMS]
    if told or (not sys.flags.utf8_mode and sys.getfilesystemencoding().lower() != "utf-8"):
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, (sys.executable, "-X", "utf8", *sys.orig_argv[1:]))  # noqa: S606  (no shell is needed)


def _is_utf_8(stream: object) -> bool:
    """Whether a stream takes every text; a closed one, None, takes none."""
    return getattr(stream, "encoding", "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
