"""Text that others wrote, in a Markdown page: it stays text, on its line."""

from __future__ import annotations

import re

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MEANS_SOMETHING = re.compile(r"[\\`*\[\]|#~]")
_MADE_A_LINK = re.compile(r"(?i)\b(?:[a-z][a-z0-9+.-]*(?=://)|www(?=\.))")
"""What is linked without any brackets."""


def plain(text: str) -> str:
    """The text in one line, in which nothing means anything to Markdown or HTML: no heading, picture, link or tag."""
    line = "".join(_ENTITIES.get(letter, letter) for letter in " ".join(text.split()))
    return _MADE_A_LINK.sub(r"\g<0>\\", _MEANS_SOMETHING.sub(r"\\\g<0>", line))
