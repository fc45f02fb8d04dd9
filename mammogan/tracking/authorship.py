"""Texts of this software's that a person may rewrite in MLflow: what a person wrote is never overwritten.

Each text ends in a seal, a comment with the digest of what stands before it, which MLflow's pages do not show. A text
whose seal is missing or broken is a person's, and so is one that somebody emptied.
"""

from __future__ import annotations

from mammogan.config import digest

_OPEN, _CLOSE = "<!-- mammogan ", " -->"


def sealed(text: str, limit: int) -> str:
    """The text with its seal, in at most ``limit`` characters: lines that are too many are left out at the end."""
    room = limit - len(_seal("")) - 2
    while len(text) > room:
        text = text.rpartition("\n")[0] if "\n" in text else text[:room]
    return f"{text.rstrip()}\n\n{_seal(text.rstrip())}"


def is_ours(text: str | None) -> bool:
    """Whether we may write in this one's place: there is none yet, or it is as we left it."""
    if text is None:
        return True
    body, _, _ = text.rpartition(_OPEN)
    return bool(body) and text == f"{body}{_seal(body.rstrip())}"


def _seal(text: str) -> str:
    return f"{_OPEN}{digest(text)}{_CLOSE}"
