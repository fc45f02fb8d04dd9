"""Where the images are: the layout of a source is recognised by looking, and each wanted image is located in it.

| layout | looks like | images are found by |
|---|---|---|
| ``images`` | ``manifest.csv`` with file, patient_id and pathology | the manifest |
| ``dicom`` | ``*.dcm`` in any tree, on disk or S3: the TCIA/NBIA download, a flat folder, a mirror of IDC | series |
| ``kaggle`` | ``jpeg/<series uid>/*.jpg`` | series |
| ``idc`` | the public bucket of the Imaging Data Commons; nothing is listed | series |

A series is known by its SeriesInstanceUID: from a folder of that name, from a folder named by the uuid that an IDC
index gives for it, or from the file's own header.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mammogan import console, storage
from mammogan.config import DataConfig
from mammogan.data import cbis_ddsm, dicom, idc, picture, tables
from mammogan.data.cbis_ddsm import ImageSpec
from mammogan.data.quarantine import BadImageError, RejectedImage

MANIFEST = "manifest.csv"
IMAGES_COLUMNS = ("file", "patient_id", "pathology")
HEADER_BYTES = (1 << 14, 1 << 18, 1 << 24)
"""Of a file, read until SeriesInstanceUID is among them."""
HEADER_READERS = 16
LONGEST_NAME = 120


@dataclass(frozen=True)
class Job:
    """One image to make and the files that may hold it."""

    wanted: ImageSpec
    root: str
    files: tuple[str, ...]
    """Paths relative to the root; more than one where crop and mask must be told apart; ``x/`` is all files in x."""
    stamp: str
    """Changes when the files do."""


@dataclass(frozen=True)
class Located:
    """What a source offers for a configuration."""

    kind: str
    """Layout that was recognised."""
    jobs: tuple[Job, ...]
    bad: tuple[RejectedImage, ...]
    expected: int
    """Images that should come out if nothing were bad."""


def locate(source: str, labels: str, config: DataConfig) -> Located:
    """Every image that ``config`` asks for, found in ``source``: a folder, an ``s3://`` address or ``idc``.

    ``labels`` is the folder of the case CSVs, and of the IDC index where one is needed; empty looks in the source.
    Raises FileNotFoundError for a source that is not there and ValueError for a layout that is not known.
    """
    if source == "idc":
        return _locate_idc(labels, config)
    stamps = _stamps(source)
    kind = _recognise(source, stamps)
    if kind == "images":
        return _locate_images(source, stamps)
    return _locate_series(source, kind, stamps, labels or source, config)


def _stamps(source: str) -> dict[str, str]:
    if not storage.is_remote(source) and not Path(source).is_dir():
        raise FileNotFoundError(
            f"source={source!r}: no such folder; give a folder, an s3:// address, 'idc' or 'phantom'"
        )
    return storage.list_stamps(source)


def _recognise(source: str, files: Iterable[str]) -> str:
    names = sorted(files)
    if MANIFEST in names and all(name in tables.read(source, MANIFEST).header for name in IMAGES_COLUMNS):
        return "images"
    if any(_is_kaggle(name) for name in names):
        return "kaggle"
    if any(_is_dicom(name) for name in names):
        return "dicom"
    raise ValueError(
        f"source={source!r}: not a known layout; looked for {MANIFEST} with the columns {', '.join(IMAGES_COLUMNS)}, "
        f"for jpeg/SERIES/*.jpg and for *.dcm; found {tables.summarised(names) or 'no file'}; "
        "give the folder that holds one of them"
    )


def _is_dicom(name: str) -> bool:
    return name.lower().endswith(".dcm")


def _is_kaggle(name: str) -> bool:
    parts = name.lower().split("/")
    return len(parts) >= 3 and parts[-3] == "jpeg" and parts[-1].endswith((".jpg", ".jpeg"))


def _locate_series(source: str, kind: str, stamps: dict[str, str], labels: str, config: DataConfig) -> Located:
    wanted, bad = cbis_ddsm.wanted_images(cbis_ddsm.read_cases(labels, config.subset), config.images)
    uids = {uid for image in wanted for uid in image.series_uids}
    chosen = [name for name in sorted(stamps) if (_is_kaggle if kind == "kaggle" else _is_dicom)(name)]
    series, unnamed = _by_folder(chosen, uids)
    if uids - series.keys() and unnamed:
        folders = {each.folder: uid for uid, each in idc.read_index(labels).items()}
        aliased, unnamed = _by_folder(unnamed, uids, folders)
        series |= aliased
    unreadable: list[RejectedImage] = []
    if uids - series.keys() and unnamed and kind == "dicom":
        by_header, unreadable = _by_header(source, unnamed)
        series |= by_header
    jobs = [_series_job(source, image, series, stamps) for image in wanted]
    missing = [_missing(image) for image, job in zip(wanted, jobs, strict=True) if job is None]
    return Located(kind, tuple(filter(None, jobs)), (*bad, *missing, *unreadable), len(wanted) + len(bad))


def _by_folder(
    files: Iterable[str], uids: set[str], aliases: dict[str, str] | None = None
) -> tuple[dict[str, list[str]], list[str]]:
    """Files of each wanted series that a folder's name tells, and the files that no folder's name explains."""
    series: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for name in files:
        folders = reversed(name.split("/")[:-1])
        known = (folder if aliases is None else aliases.get(folder, "") for folder in folders)
        uid = next((each for each in known if each in uids), "")
        series.setdefault(uid, []).append(name) if uid else unnamed.append(name)
    return series, unnamed


def _by_header(root: str, files: list[str]) -> tuple[dict[str, list[str]], list[RejectedImage]]:
    """Files of each series as their own headers tell, and the files whose header cannot be read."""
    series: dict[str, list[str]] = {}
    bad: list[RejectedImage] = []
    with console.progress("read headers", len(files)) as advance, ThreadPoolExecutor(HEADER_READERS) as readers:
        for name, found in zip(files, readers.map(lambda name: _series_uid(root, name), files), strict=True):
            if isinstance(found, BadImageError):
                bad.append(RejectedImage("", name, found.reason, found.fix))
            else:
                series.setdefault(found, []).append(name)
            advance()
    return series, bad


def _series_uid(root: str, name: str) -> str | BadImageError:
    """SeriesInstanceUID by the first bytes of a file; by more of them where private elements make its header long."""
    for limit in HEADER_BYTES:
        head = _head(root, name, limit)
        try:
            return dicom.series_uid(head)
        except BadImageError as error:
            if len(head) < limit or not dicom.is_dicom(head) or limit == HEADER_BYTES[-1]:
                return error
    raise AssertionError("HEADER_BYTES is empty")


def _head(root: str, name: str, limit: int) -> bytes:
    try:
        return storage.read_bytes(storage.join(root, name), limit=limit)
    except OSError:
        if storage.is_remote(root):
            raise
        return b""  # a file of this disk that cannot be read is quarantined like one without a header


def _series_job(source: str, image: ImageSpec, series: dict[str, list[str]], stamps: dict[str, str]) -> Job | None:
    names = tuple(sorted(name for uid in image.series_uids for name in series.get(uid, ())))
    return Job(image, source, names, ";".join(f"{name} {stamps[name]}" for name in names)) if names else None


def _missing(image: ImageSpec) -> RejectedImage:
    reason = f"no file of series {' or '.join(image.series_uids)}"
    return RejectedImage(image.image_id, "", reason, "download the series, or choose another data.subset")


def _locate_idc(labels: str, config: DataConfig) -> Located:
    """Every wanted image by the index alone; a series' objects are listed when it is read."""
    wanted, bad = cbis_ddsm.wanted_images(cbis_ddsm.read_cases(labels, config.subset), config.images)
    index = idc.read_index(labels)
    if not index:
        raise FileNotFoundError(
            f"labels={labels!r}: no index of the Imaging Data Commons; put a CSV with the columns "
            f"{', '.join(idc.COLUMNS)} there, or install idc-index-data"
        )
    jobs, missing = [], []
    for image in wanted:
        found = [index[uid] for uid in image.series_uids if uid in index]
        if found:
            root = found[0].url.rpartition("/")[0]
            folders = tuple(f"{each.folder}/" for each in found)
            jobs.append(Job(image, root, folders, ";".join(each.url for each in found)))
        else:
            missing.append(_missing(image))
    return Located("idc", tuple(jobs), (*bad, *missing), len(wanted) + len(bad))


def _locate_images(source: str, stamps: dict[str, str]) -> Located:
    """Every row of a plain folder's ``manifest.csv``, whatever the configured subset."""
    rows = tables.read(source, MANIFEST).rows
    jobs: dict[str, Job] = {}
    bad: list[RejectedImage] = []
    for number, row in rows:
        try:
            job = _image_job(source, row, stamps)
        except ValueError as error:
            bad.append(RejectedImage("", f"{MANIFEST}:{number}", str(error), "fix the row"))
            continue
        if job.wanted.image_id in jobs:
            bad.append(RejectedImage("", f"{MANIFEST}:{number}", f"{row['file']} stands there twice", "keep one row"))
        else:
            jobs[job.wanted.image_id] = job
    return Located("images", tuple(jobs[name] for name in sorted(jobs)), tuple(bad), len(rows))


def _image_job(source: str, row: dict[str, str], stamps: dict[str, str]) -> Job:
    for column in IMAGES_COLUMNS:
        if not row.get(column):
            raise ValueError(f"{column}='': the field is empty or the line is cut off")
    path = PurePosixPath(row["file"])
    image_id = "__".join(path.with_suffix("").parts)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"file={row['file']!r}: it leaves its folder")
    if path.suffix.lower() not in (*picture.SUFFIXES, ".dcm"):
        raise ValueError(f"file={row['file']!r}: not a picture; use {', '.join(picture.SUFFIXES)} or .dcm")
    if not image_id.isprintable() or "\\" in image_id or len(image_id.encode()) > LONGEST_NAME:
        raise ValueError(f"file={row['file'][:200]!r}: not a plain name of at most {LONGEST_NAME} bytes")
    wanted = ImageSpec(
        image_id=image_id,
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
    return Job(wanted, source, (str(path),), f"{path} {stamps.get(str(path), '')}")


def _known_subset(text: str) -> str:
    try:
        return cbis_ddsm.subset_of(text)
    except ValueError:
        return text
