"""CSV files as the world writes them: which dialect, which columns, which rows, and what is wrong with them.

Encoding: UTF-8, with or without a byte-order mark, UTF-16 and UTF-32. Separator: the one that a line ``sep=;`` names,
else that of comma, semicolon, tab and bar which cuts the header into most columns. Accents are composed (NFC) and
spaces plain, so that a name is one name however it was typed. A quote that is not closed would swallow the rows behind
it: such a file is refused with the line where it opens. Nothing else is refused here: a row that cannot be used says
why.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mammogan import errors, storage
from mammogan.data.cells import unshielded
from mammogan.data.listing import DICOM_SUFFIXES, composed, is_companion
from mammogan.data.picture import SUFFIXES

FEW = 5
KINDS = frozenset((*DICOM_SUFFIXES, *SUFFIXES, ".csv", ".gz", ".json", ".pdf", ".txt", ".xlsx", ".xml", ".zip"))
"""Endings of files that a message repeats; others may be part of a name."""
SHORT = 60
"""Characters of a column's name that a message repeats."""
SEPARATORS = (",", ";", "\t", "|")
LOST = "\N{REPLACEMENT CHARACTER}"
"""Stands where bytes were no text."""
NUL = "\0"
LONGEST_FIELD = 1 << 30
"""Characters: a field is no longer than its file, which is read whole."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's mark, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NAMED_SEPARATOR = re.compile(r'"?sep=([^\w"\s]|\t)"?[,;\t|]*\s*', re.IGNORECASE)
"""First line by which a spreadsheet is told the separator; one that saved it may have filled it up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a CSV file."""

    line: int
    """Number of its last line; the header is line 1."""
    places: dict[str, int]
    """Where each column stands; one mapping for all rows of a table."""
    values: tuple[str, ...]
    """Stripped text."""
    fault: str = ""
    """Why the row cannot be used; empty where its text is whole."""

    def __getitem__(self, column: str) -> str:
        """Text of a column; empty where the row or the table lacks it."""
        place = self.places.get(column)
        return "" if place is None or place >= len(self.values) else self.values[place]

    def unshielded(self) -> Row:
        """The row of a table that this project wrote, its cells as they were (``cells``)."""
        return replace(self, values=tuple(map(unshielded, self.values)))

    def check(self, needed: Sequence[str], used: Sequence[str]) -> None:
        """Raise ValueError where the row is faulty, a needed cell is empty or a used one is no plain text."""
        if self.fault:
            raise ValueError(self.fault)
        self.check_cells(needed, used)

    def check_cells(self, needed: Sequence[str], used: Sequence[str]) -> None:
        """As ``check``, of these cells alone, whatever ails the rest of the row."""
        for column in needed:
            if not self[column]:
                raise ValueError(f"{column}='': the field is empty or the line is cut off")
        if "".join(self.values).isprintable():
            return
        for column in used:
            if not self[column].isprintable():
                shown = self[column][:SHORT]
                raise ValueError(f"{column}={shown!r}: it holds a line break or a control character; is a quote open?")


@dataclass(frozen=True)
class Table:
    """A CSV file: where it is, how it is written, its normalised column names, and its rows."""

    name: str
    encoding: str
    separator: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    """Rows that are not empty, up to the fault."""
    fault: str = ""
    """Why the rest cannot be read, with the line; empty for a table that is whole."""

    def checked_rows(self, needed: Sequence[str], used: Sequence[str]) -> tuple[Row, ...]:
        """Every row of a table that is whole.

        Raises ValueError that names the file where a quote is not closed, a ``needed`` column is not there, or a
        ``used`` one stands there twice.
        """
        if self.fault:
            raise ValueError(self.fault)
        absent = [column for column in needed if column not in self.header]
        if absent and (line := self.header_line(needed)):
            raise ValueError(f"{self.name}: the header stands in line {line}; delete the lines above it")
        if absent:
            raise ValueError(f"{self.name} lacks the column {', '.join(absent)}; fix its header")
        twice = [column for column in used if self.header.count(column) > 1]
        if twice:
            raise ValueError(f"{self.name} has the column {', '.join(twice)} twice; keep one")
        return self.rows

    def header_line(self, needed: Sequence[str]) -> int:
        """Line of the first row that is the header, below a title that was taken for one; 0 where there is none."""
        parts = re.compile("[" + re.escape("".join(SEPARATORS)) + "]")
        for row in self.rows[:FEW]:
            if set(needed) <= {_column(part) for value in row.values for part in parts.split(value)}:
                return row.line
        return 0

    def described(self, known: Sequence[str]) -> str:
        """What was found: ``cases.csv (utf-8, separator ';', columns a, b and 3 others)``, and what is wrong with it.

        Columns that are not ``known`` are counted: in a table without a header they are its first row.
        """
        columns = [column for column in self.header if column in known]
        others = len(self.header) - len(columns)
        counted = f"{others} {'others' if columns else 'that mean nothing here'}" if others or not columns else ""
        shown_columns = " and ".join(filter(None, (", ".join(columns), counted)))
        fault = f"; {self.fault}" if self.fault else ""
        name = PurePosixPath(self.name).name
        return f"{name} ({self.encoding}, separator {self.separator!r}, columns {shown_columns}{fault})"


def read(folder: str, name: str) -> Table:
    """The CSV ``name`` in ``folder``, a local path or an ``s3://`` address; as ``parse`` reads it."""
    errors.keep_private(name)
    return parse(name, storage.read_bytes(storage.join(folder, name), key=storage.Key.SOURCE))


def parse(name: str, content: bytes) -> Table:
    """The table in ``content``; column names in lower case with underscores. Never raises: faults are told."""
    text, encoding = _text(content)
    csv.field_size_limit(LONGEST_FIELD)
    plain, torn = text.isascii(), LOST in text or NUL in text  # asked once: a table may have a million cells
    separator, skipped = _separator(text)
    lines = io.StringIO(text, newline="")
    for _ in range(skipped):
        lines.readline()
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    header: tuple[str, ...] = ()
    places: dict[str, int] = {}
    rows: list[Row] = []
    fault = ""
    while not fault:
        line = skipped + reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error:
            fault = f"{name}:{line}: a quote that opens here is not closed, or one in its field not doubled; fix it"
            break
        values = tuple([field.strip() for field in fields] if plain else [composed(field.strip()) for field in fields])
        last = skipped + reader.line_num
        if not any(values):
            continue
        if last > line and _swallows(fields, separator):
            fault = f"{name}:{line}: a quote that opens here is closed only in line {last}, with rows between; close it"
        elif last > line and header and _is_torn(fields, len(header)):
            fault = (
                f"{name}:{line}: a row to line {last} of {len(fields)} fields where the header has {len(header)}: "
                "close its quote, or give it all its fields"
            )
        elif header:
            rows.append(Row(last, places, values, _fault(values, header, encoding if torn else "")))
        else:
            header = tuple(map(_column, values))
            places = {column: place for place, column in enumerate(header)}
    return Table(name, encoding, separator, header, tuple(rows), fault)


def plain_number(text: str) -> str:
    """``1`` of ``01``, and of ``1.0``, as a spreadsheet or pandas writes it; what is no whole number as it is."""
    whole, _, rest = text.partition(".")
    return (whole.lstrip("0") or "0") if whole.isdecimal() and not rest.strip("0") else text


def _column(text: str) -> str:
    return "_".join(text.lower().split())


def _text(content: bytes) -> tuple[str, str]:
    """The text, with LOST where bytes are none, and its encoding."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(encoding, errors="replace")
            break
    else:
        encoding = _unmarked(content[:16])
        text = content.decode(encoding, errors="replace")
    return text, encoding


def _unmarked(start: bytes) -> str:
    """Encoding of bytes without a mark: letters of a header have a zero beside them in UTF-16."""
    even, odd = start[::2], start[1::2]
    if len(start) >= 4 and all(even) and not any(odd):
        return "utf-16-le"
    return "utf-16-be" if len(start) >= 4 and all(odd) and not any(even) else "utf-8"


def _separator(text: str) -> tuple[str, int]:
    """The separator, and the number of lines before the header that name it."""
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    if text.startswith(first) and (named := NAMED_SEPARATOR.fullmatch(first)):
        return named[1], 1
    return max(SEPARATORS, key=lambda separator: _columns(first, separator)), 0


def _columns(line: str, separator: str) -> int:
    """Columns into which a separator cuts a header; the first separator wins where it does no worse."""
    try:
        return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True), []))
    except csv.Error:
        return 0


def _swallows(fields: Sequence[str], separator: str) -> bool:
    """Whether a field over several lines may have swallowed a row's end: a separator stands in it, or nothing does."""
    last = len(_filled(fields)) - 1
    broken = ((number, field) for number, field in enumerate(fields) if "\n" in field or "\r" in field)
    return any(separator in field or (not field.strip() and number < last) for number, field in broken)


def _is_torn(fields: Sequence[str], columns: int) -> bool:
    """Whether a row over several lines may be two in one: too many fields, or too few behind the broken one.

    CBIS-DDSM's own paths end in a line break.
    """
    if len(_filled(fields)) > columns:
        return any("\n" in field or "\r" in field for field in map(str.rstrip, fields))
    return len(fields) < columns and any("\n" in field or "\r" in field for field in fields[:-1])


def _filled(fields: Sequence[str]) -> Sequence[str]:
    """The fields without the empty ones at their end."""
    last = next((number for number in range(len(fields), 0, -1) if fields[number - 1].strip()), 0)
    return fields[:last]


def _fault(values: Sequence[str], header: Sequence[str], encoding: str) -> str:
    """Why a row cannot be used; ``encoding`` is empty where no character of its table is lost."""
    if len(values) > len(header) and any(values[len(header) :]):
        return f"{len(values)} fields where the header has {len(header)}: quote a field that holds the separator"
    if encoding and any(NUL in value for value in values):
        return "a NUL character stands in it: write the row again"
    if encoding and any(LOST in value for value in values):
        return f"a character is no {encoding}, or was lost when the file was made: save it as UTF-8"
    return ""


def below(folder: str, *, linked: bool = True) -> Iterator[Table]:
    """Every ``*.csv`` below ``folder`` that is not hidden, by path; with ``linked`` those that links lead to too."""
    for name in storage.list_files(folder, linked=linked, key=storage.Key.SOURCE):
        if name.lower().endswith(".csv") and not is_companion(name):
            yield read(folder, name)


def counted(names: Iterable[str]) -> str:
    """Files by their ending, ``41 *.png, 2 *.csv``, never by name: an image's may be its patient's."""
    endings = Counter(PurePosixPath(name).suffix.lower() for name in names)
    known = Counter({f"*{ending}": count for ending, count in endings.items() if ending in KINDS})
    other = endings.total() - known.total()
    parts = [f"{count} {ending}" for ending, count in known.most_common(FEW)]
    return ", ".join([*parts, *([f"{other} other files"] if other else [])])


def as_read(tables: Sequence[Table], known: Sequence[str]) -> str:
    """End of a message on tables that are not the wanted ones: how the first few were read."""
    return "".join(f"; read as {table.described(known)}" for table in tables[:FEW])
