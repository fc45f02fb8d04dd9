"""Where the images are: the layout of a source is recognised by looking, and each wanted image is located in it.

Two layouts so far, both told by their content: ``dicom``, any tree of DICOM files (the TCIA download or a flat
folder), joined to the case CSVs by SeriesInstanceUID; and ``images``, pictures with a ``manifest.csv``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mammogan import console, storage
from mammogan.config import DataConfig
from mammogan.data import cbis_ddsm, dicom, picture
from mammogan.data.cbis_ddsm import Wanted
from mammogan.data.quarantine import Bad, BadImageError

IMAGES_COLUMNS = ("file", "patient_id", "pathology")
HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class Job:
    """One image to make and the files that may hold it."""

    wanted: Wanted
    root: str
    files: tuple[str, ...]
    """Paths relative to the root; more than one where crop and mask must be told apart."""


@dataclass(frozen=True)
class Located:
    """What a source offers for a configuration."""

    kind: str
    """Layout that was recognised."""
    jobs: tuple[Job, ...]
    bad: tuple[Bad, ...]
    expected: int
    """Images that should come out if nothing were bad."""


def locate(source: str, labels: str, config: DataConfig) -> Located:
    """Every image that ``config`` asks for, found in ``source``.

    ``labels`` is the folder of the case CSVs; empty looks in the source itself. Raises FileNotFoundError for a source
    that is not there and ValueError for a layout that is not known.
    """
    files = _files(source)
    kind = _recognise(source, files)
    return _locate_images(source) if kind == "images" else _locate_dicom(source, files, labels or source, config)


def _files(source: str) -> list[str]:
    if not storage.is_remote(source) and not Path(source).is_dir():
        raise FileNotFoundError(f"source={source!r}: no such folder; give a folder of images or 'phantom'")
    return storage.list_files(source)


def _recognise(source: str, files: list[str]) -> str:
    if "manifest.csv" in files and all(name in _manifest_rows(source)[0] for name in IMAGES_COLUMNS):
        return "images"
    if any(_may_be_dicom(name) for name in files):
        return "dicom"
    raise ValueError(
        f"source={source!r}: not a known layout; looked for manifest.csv with the columns {', '.join(IMAGES_COLUMNS)} "
        f"and for DICOM files (*.dcm); found {len(files)} files: {', '.join(files[:5]) or 'none'}"
    )


def _may_be_dicom(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() == ".dcm"


def _locate_dicom(source: str, files: list[str], labels: str, config: DataConfig) -> Located:
    found = cbis_ddsm.read_cases(labels, config.subset)
    wanted, bad = cbis_ddsm.wanted_images(found, config.images)
    uids = {uid for image in wanted for uid in image.series_uids}
    series, unreadable = _index_series(source, [name for name in files if _may_be_dicom(name)], uids)
    jobs, missing = [], []
    for image in wanted:
        names = tuple(name for uid in image.series_uids for name in series.get(uid, ()))
        if names:
            jobs.append(Job(image, source, names))
        else:
            reason = f"no file of series {' or '.join(image.series_uids)}"
            missing.append(Bad(image.image_id, "", reason, "download the series, or choose another data.subset"))
    return Located("dicom", tuple(jobs), (*bad, *missing, *unreadable), len(wanted) + len(bad))


def _index_series(root: str, files: Iterable[str], uids: set[str]) -> tuple[dict[str, list[str]], list[Bad]]:
    """Files of each wanted series: by a folder's name where that is the UID, else by the file's own header."""
    series: dict[str, list[str]] = {}
    unread: list[str] = []
    bad: list[Bad] = []
    for name in files:
        uid = next((part for part in reversed(name.split("/")[:-1]) if part in uids), "")
        if uid:
            series.setdefault(uid, []).append(name)
        else:
            unread.append(name)
    if uids - series.keys():
        with console.progress("read headers", len(unread)) as advance:
            for name in unread:
                try:
                    series.setdefault(dicom.series_uid(_head(root, name)), []).append(name)
                except BadImageError as error:
                    bad.append(Bad("", name, error.reason, error.mend))
                advance()
    return series, bad


def _head(root: str, name: str) -> bytes:
    """First bytes of a file, enough for the header of a CBIS-DDSM image."""
    with storage.inside(Path(root), name).open("rb") as file:
        return file.read(HEADER_BYTES)


def _manifest_rows(source: str) -> tuple[list[str], list[dict[str, str]]]:
    text = storage.read_bytes(storage.join(source, "manifest.csv")).decode("utf-8-sig", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = header
    return header, [{key: (value or "").strip() for key, value in row.items() if key} for row in rows]


def _locate_images(source: str) -> Located:
    """Every row of a plain folder's ``manifest.csv``, whatever the configured subset."""
    _, rows = _manifest_rows(source)
    jobs: dict[str, Job] = {}
    bad: list[Bad] = []
    for number, row in enumerate(rows, start=2):
        try:
            job = _image_job(source, row)
        except ValueError as error:
            bad.append(Bad("", f"manifest.csv:{number}", str(error), "mend the row"))
            continue
        if job.wanted.image_id in jobs:
            bad.append(Bad("", f"manifest.csv:{number}", f"{row['file']} stands there twice", "keep one row"))
        else:
            jobs[job.wanted.image_id] = job
    return Located("images", tuple(jobs[name] for name in sorted(jobs)), tuple(bad), len(rows))


def _image_job(source: str, row: dict[str, str]) -> Job:
    for column in IMAGES_COLUMNS:
        if not row.get(column):
            raise ValueError(f"{column}='': the field is empty")
    path = PurePosixPath(row["file"])
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"file={row['file']!r}: it leaves its folder")
    if path.suffix.lower() not in (*picture.SUFFIXES, ".dcm"):
        raise ValueError(f"file={row['file']!r}: not a picture; use {', '.join(picture.SUFFIXES)} or .dcm")
    wanted = Wanted(
        image_id="__".join(path.with_suffix("").parts),
        label=cbis_ddsm.label_of(row["pathology"]),
        pathology=row["pathology"],
        patient_id=row["patient_id"],
        laterality=row.get("laterality", ""),
        view=row.get("view", ""),
        abnormality=row.get("abnormality") or row.get("abnormality_id", ""),
        subset=_known_subset(row.get("subset", "")),
        series_uids=(),
        content="full",
    )
    return Job(wanted, source, (str(path),))


def _known_subset(text: str) -> str:
    try:
        return cbis_ddsm.subset_of(text)
    except ValueError:
        return text
