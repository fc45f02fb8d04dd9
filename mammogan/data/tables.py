"""CSV files as the world writes them: quoted newlines, a byte-order mark, spaces around names, a broken end."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mammogan import storage

FEW_NAMES = 5


@dataclass(frozen=True)
class Table:
    """A CSV file: where it is, its normalised column names, and its rows."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    """Number of the row's last line, and its stripped fields by column; a broken end is one empty row."""


def read(folder: str, name: str) -> Table:
    """The CSV ``name`` in ``folder``; column names in lower case with underscores. Bytes that are no text become �."""
    text = storage.read_bytes(storage.join(folder, name)).decode("utf-8-sig", errors="replace").replace("\0", "�")
    reader = csv.reader(io.StringIO(text, newline=""))
    rows: list[tuple[int, dict[str, str]]] = []
    header: tuple[str, ...] = ()
    try:
        for fields in reader:
            values = [field.strip() for field in fields]
            if not header:
                header = tuple(value.lower().replace(" ", "_") for value in values)
            elif any(values):
                rows.append((reader.line_num, dict(zip(header, values, strict=False))))
    except csv.Error:
        rows.append((reader.line_num, {}))
    return Table(name, header, tuple(rows))


def below(folder: str) -> Iterator[Table]:
    """Every ``*.csv`` below ``folder``, sorted by path."""
    for name in storage.list_files(folder):
        if name.lower().endswith(".csv"):
            yield read(folder, name)


def summarised(names: Sequence[str]) -> str:
    """A few names as they are, many as counts by ending: ``41 *.png, 2 *.csv``."""
    if len(names) <= FEW_NAMES:
        return ", ".join(sorted(names))
    endings = Counter(f"*{PurePosixPath(name).suffix.lower()}" for name in names)
    return ", ".join(f"{count} {ending}" for ending, count in endings.most_common(FEW_NAMES))
