"""Cells of the CSV files that are written here, safe to open in a spreadsheet and read back as they were."""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]")
"""Beginning of a cell that a spreadsheet would compute, in full width too, or of one that is shielded already."""


def readable(text: str) -> str:
    """A text that every file and terminal takes: what is no UTF-8, such as an old file's name, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """A text with every character that moves a cursor, such as a line break out of a file's header, as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shielded(text: str) -> str:
    """A cell that no spreadsheet computes and every encoding takes: ``'`` before what begins like a formula."""
    plain = readable(text)
    return f"'{plain}" if FORMULA.match(plain) else plain


def unshielded(cell: str) -> str:
    """The text of which ``shielded`` made a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
