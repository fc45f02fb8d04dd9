"""``manifest.csv`` of a data set: read, checked, written and digested; ``dataset`` makes an object of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan import shell, storage
from mammogan.data import replacement, tables
from mammogan.data.cells import shielded, unshielded
from mammogan.results import Role

if TYPE_CHECKING:
    import pandas as pd

FILE = "manifest.csv"
COLUMNS = (
    "image_id",
    "file",
    "label",
    "pathology",
    "patient_id",
    "laterality",
    "view",
    "abnormality",
    "subset",
    "split",
    "source",
    "source_uid",
    "source_sha256",
    "sha256",
    "original_rows",
    "original_cols",
    "density",
    "subtlety",
)
REQUIRED = COLUMNS[: COLUMNS.index("density")]
"""Those that a manifest of an earlier version has too; what it lacks is empty in each row."""
NUMBERS = ("label", "original_rows", "original_cols")
TEXTS = tuple(name for name in COLUMNS if name not in NUMBERS)
DIGESTED = ("image_id", "sha256", "label", "pathology", "subset", "split")
"""Columns that make two data sets the same one, wherever their files came from; and who shares a patient."""
LISTED = ("file", "patient_id", "pathology")
"""Columns that the list of a source of pictures needs, which is called the same."""
CLASSES = ("benign", "malignant")
"""Name of each label."""
ROLES = tuple(role.value for role in Role)
"""What ``split`` may be."""
NAME_DIGITS = 16
SYNTHETIC = "synthetic"
"""``source`` of the rows that no scanner made."""


def read(folder: Path) -> pd.DataFrame:
    """Manifest of a data set, sorted by ``image_id``: numbers as int64, all else as text.

    Raises FileNotFoundError where there is none or one of its images is missing, ValueError for columns or values
    that the rest of the project could not use.
    """
    import pandas as pd

    path = folder / FILE
    put_back(folder)
    if not path.is_file() and (kind := storage.unusual(path)):
        raise FileNotFoundError(f"no data set at {folder}: {FILE} is {kind}, no regular file; ingest again")
    if not path.is_file():
        raise FileNotFoundError(
            f"no data set at {folder}: {FILE} is missing; make one with `{shell.command('mammogan')} ingest`"
        )
    frame = pd.DataFrame(_rows(path), dtype=str)
    _check(frame, path)
    frame = _whole(frame).astype(dict.fromkeys(NUMBERS, int)).sort_values("image_id", ignore_index=True)
    for file in frame["file"]:
        if not (place := storage.inside(folder, file)).is_file():
            kind = storage.unusual(place)
            reason = f"is {kind}, no regular file" if kind else "is missing"
            raise FileNotFoundError(f"{path}: the image {file} {reason}; ingest again")
    return frame


def put_back(folder: Path) -> None:
    """Where a process was killed while it replaced the data set, put the new one there, if that may be written."""
    if not folder.exists():
        with contextlib.suppress(OSError):
            replacement.put_back(folder.absolute().parent, folder.name)


def _rows(path: Path) -> dict[str, list[str]]:
    """Cells of each column. Raises ValueError for a table that is not whole, or a row that is not."""
    table = tables.read(str(path.parent), path.name)
    try:
        rows = table.checked_rows((), COLUMNS)
        for row in rows:
            row.check((), COLUMNS)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable CSV ({error}); ingest again") from error
    if not table.header:
        raise ValueError(f"{path}: not a readable CSV (it is empty); ingest again")
    return {column: [unshielded(row[column]) for row in rows] for column in table.header}


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column, those that an earlier version did not know empty."""
    return frame.assign(**dict.fromkeys([name for name in COLUMNS[len(REQUIRED) :] if name not in frame], ""))


def _check(frame: pd.DataFrame, path: Path) -> None:
    absent = [name for name in REQUIRED if name not in frame.columns]
    if {"image_id", "sha256"} <= set(absent) and set(LISTED) <= set(frame.columns):
        command = f"{shell.command('mammogan')} ingest --source {shlex.quote(str(path.parent))} --out DATASET"
        raise ValueError(f"{path}: the list of a source, not of a data set; make one with `{command}`, or leave it out")
    if absent:
        raise ValueError(f"{path}: no column {', '.join(absent)}; ingest again")
    for name, allowed in (
        ("label", "[01]"),
        ("split", "|".join(ROLES)),
        ("original_rows", r"\d+"),
        ("original_cols", r"\d+"),
    ):
        wrong = frame.loc[~frame[name].str.fullmatch(allowed), name]
        if len(wrong):
            raise ValueError(f"{path}: {name}={wrong.iloc[0]!r}: write it as {allowed}")
    for name in ("image_id", "file"):
        twice = frame.loc[frame[name].duplicated(), name]
        if len(twice):
            raise ValueError(f"{path}: {name}={twice.iloc[0]!r} stands there twice; keep one row")


def write(frame: pd.DataFrame, folder: Path) -> None:
    """Write the manifest of a data set, sorted by ``image_id``, its columns in their order."""
    table = _whole(frame).sort_values("image_id")[list(COLUMNS)]
    table = table.assign(**{name: table[name].map(shielded) for name in TEXTS})
    storage.write_bytes(str(folder / FILE), table.to_csv(index=False, lineterminator="\n").encode())


def name_of(sha256: str) -> str:
    """What an image is called where nobody may learn whose it is: by its picture's own sha256."""
    return f"image-{sha256[:NAME_DIGITS]}"


def data_digest(frame: pd.DataFrame) -> str:
    """Hex sha256 of what the data set is: image hashes, labels, patients and split, never a path of the machine.

    A patient counts by the images, not by name: as the ``image_id`` of the first one. So pseudonyms under two keys give
    the same digest.
    """
    ordered = frame.sort_values("image_id")
    first = ordered.groupby("patient_id", sort=False)["image_id"].transform("first")
    rows = ordered[list(DIGESTED)].assign(patient=first).astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def source_digest(frame: pd.DataFrame) -> str:
    """Hex sha256 of the source's files that images were made from, whatever was made of them, in any order.

    A file whose content is not known counts by its image here.
    """
    files = frame["source_sha256"].where(frame["source_sha256"] != "", frame["sha256"])
    return hashlib.sha256("\n".join(sorted(set(files))).encode()).hexdigest()
