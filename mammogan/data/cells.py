"""Cells of the CSV files that are written here, safe to open in a spreadsheet and read back as they were."""

from __future__ import annotations

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Beginning of a cell that a spreadsheet would compute, or of one that is shielded already."""


def shielded(text: str) -> str:
    """A cell that no spreadsheet computes and every encoding takes: ``'`` before what begins like a formula."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return f"'{plain}" if FORMULA.match(plain) else plain


def unshielded(cell: str) -> str:
    """The text of which ``shielded`` made a cell."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
