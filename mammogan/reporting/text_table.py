"""A table of texts, laid out for a terminal of any width, a notebook or a Markdown page; nothing in it is cut off."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mammogan.reporting.markdown import plain

NARROWEST = 6
"""Letters to which a column is folded at most."""
GAP = "  "
WIDTH = 80
"""Columns of a terminal whose size is not known."""


@dataclass(frozen=True, repr=False)
class TextTable:
    """Cells of a table; a line break parts the lines of a cell.

    Raises ValueError where a row has another number of cells than ``header``.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    fixed: int = 1
    """Leading columns that stand at the left of every part, where the width asks for several."""
    notes: tuple[str, ...] = ()
    """Lines below the table."""

    def __post_init__(self) -> None:
        """Every row has a cell below each heading."""
        if wrong := [row for row in self.rows if len(row) != len(self.header)]:
            raise ValueError(f"rows: {wrong[0]!r} has {len(wrong[0])} cells below {len(self.header)} headings")

    def __str__(self) -> str:
        """As a terminal of 80 columns shows it."""
        return self.text()

    __repr__ = __str__

    def text(self, width: int = WIDTH) -> str:
        """The table within ``width`` columns: parts below each other where it is wider, long cells folded, none cut."""
        parts = ["\n".join(self._part(columns, width)) for columns in self._parts(width)]
        notes = [textwrap.fill(note, width, break_on_hyphens=False) for note in self.notes]
        return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])

    def html(self) -> str:
        """A ``<table>`` for a page, every text escaped."""
        head = "".join(f"<th>{_lines_of_html(cell)}</th>" for cell in self.header)
        body = "".join(f"<tr>{''.join(f'<td>{_lines_of_html(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def markdown(self) -> str:
        """A table for Markdown, in which no text means anything."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        table = [f"| {' | '.join(_line_of_markdown(cell) for cell in line)} |" for line in lines]
        return "\n".join([*table, *(line for note in self.notes for line in ("", plain(note)))])

    _repr_html_ = html
    _repr_markdown_ = markdown

    def _parts(self, width: int) -> Iterator[list[int]]:
        """Numbers of the columns of each part: those that are fixed, and as many others as there is room for."""
        left = list(range(min(self.fixed, len(self.header))))
        part = list(left)
        for column in range(len(left), len(self.header)):
            if len(part) > len(left) and self._width([*part, column]) > width:
                yield part
                part = list(left)
            part.append(column)
        yield part

    def _width(self, columns: Sequence[int]) -> int:
        return sum(map(self._column, columns)) + len(GAP) * (len(columns) - 1)

    def _column(self, column: int) -> int:
        """Letters of the longest line of a column."""
        return max(1, *(len(line) for cell in self._cells(column) for line in cell.split("\n")))

    def _word(self, column: int) -> int:
        """Letters of the longest word of a column."""
        return max((len(word) for cell in self._cells(column) for word in cell.split()), default=1)

    def _cells(self, column: int) -> list[str]:
        return [self.header[column], *(row[column] for row in self.rows)]

    def _fitted(self, columns: Sequence[int], width: int) -> list[int]:
        """Widths of columns that fit: the widest is folded first, between words as long as that is enough."""
        widths = [self._column(column) for column in columns]
        words = [self._word(column) for column in columns]
        while sum(widths) + len(GAP) * (len(widths) - 1) > width:
            between = [n for n, size in enumerate(widths) if size > words[n]]
            inside = [n for n, size in enumerate(widths) if size > NARROWEST]
            if not (between or inside):
                break
            widths[max(between or inside, key=lambda n: widths[n])] -= 1
        return widths

    def _part(self, columns: Sequence[int], width: int) -> Iterator[str]:
        widths = self._fitted(columns, width)
        tall = any("\n" in cell for row in self.rows for cell in row)
        yield from _drawn([self.header[column] for column in columns], widths)
        yield GAP.join("-" * size for size in widths)
        for number, row in enumerate(self.rows):
            if number and tall:
                yield ""
            yield from _drawn([row[column] for column in columns], widths)


def _drawn(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Lines of one row."""
    folded = [_folded(cell, size) for cell, size in zip(cells, widths, strict=True)]
    for number in range(max(map(len, folded))):
        line = [cell[number] if number < len(cell) else "" for cell in folded]
        yield GAP.join(text.ljust(size) for text, size in zip(line, widths, strict=True)).rstrip()


def _folded(cell: str, width: int) -> list[str]:
    """Lines of a cell, each at most ``width`` letters; a word that is longer goes on in the next line."""
    lines = [textwrap.wrap(line, width, break_on_hyphens=False) or [""] for line in cell.split("\n")]
    return [piece for line in lines for piece in line]


def _lines_of_html(cell: str) -> str:
    return "<br>".join(html.escape(line) for line in cell.split("\n"))


def _line_of_markdown(cell: str) -> str:
    return "<br>".join(plain(line) for line in cell.split("\n"))
