"""Where the images are: the layout of a source is recognised by looking, and each wanted image is located in it.

| layout | looks like | images are found by |
|---|---|---|
| ``images`` | ``manifest.csv`` with file, patient_id and pathology | the manifest |
| ``dicom`` | ``*.dcm``, ``*.dicom`` or no suffix: TCIA/NBIA download, flat folder, mirror of IDC | series |
| ``kaggle`` | ``jpeg/<series uid>/*.jpg`` | series |
| ``idc`` | the public bucket of the Imaging Data Commons, or a mirror; only what is wanted is listed | series |

A series is known by its SeriesInstanceUID: from a folder of that name, from a folder named by the uuid that an IDC
index gives for it, or from the file's own header.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from mammogan import console, patience, storage
from mammogan.config import DataConfig
from mammogan.data import cbis_ddsm, dicom, idc, picture_list, tables
from mammogan.data.cbis_ddsm import ImageSpec
from mammogan.data.listing import DICOM_SUFFIXES, Listing, is_companion, is_suffixless
from mammogan.data.quarantine import BadImageError, RejectedImage

HEADER_BYTES = (1 << 14, 1 << 18, 1 << 24)
"""Of a file, read until SeriesInstanceUID is among them."""
HEADER_READERS = 16
LOOKED_INTO = 100
"""Files without a suffix that are opened to see whether a source without any ``*.dcm`` holds DICOM."""


@dataclass(frozen=True)
class Job:
    """One image to make and the files that may hold it."""

    spec: ImageSpec
    root: str
    """The source: its address, or its folder with every link resolved."""
    files: tuple[str, ...]
    """Paths relative to the root; more than one where crop and mask must be told apart; ``x/`` is all files in x, which
    ``listed`` names."""
    stamp: str
    """Changes when the files do; of ``x/`` it tells nothing yet."""
    series: tuple[str, ...] = ()
    """SeriesInstanceUID of each of the files; none where no table knows it."""


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
    listing = _listing(source)
    manifest = _manifest(source, listing)
    kind = _recognise(source, listing, manifest)
    if kind == "images" and manifest:
        return _locate_images(listing, manifest, config)
    return _locate_series(source, kind, listing, labels, config)


def _listing(source: str) -> Listing:
    if not storage.is_remote(source) and not Path(source).is_dir():
        raise FileNotFoundError(
            f"source={source!r}: no such folder; give a folder, an s3:// address, 'idc' or 'phantom'"
        )
    return Listing.read(source)


def _manifest(source: str, listing: Listing) -> tables.Table | None:
    """The source's manifest. Raises ValueError for one that stands there and may not be opened."""
    if picture_list.FILE in listing.stamps:
        return tables.read(source, picture_list.FILE)
    if not storage.is_remote(source) and (kind := storage.unusual(Path(source, picture_list.FILE))):
        where = " that leads out of the folder, or nowhere" if Path(source, picture_list.FILE).is_symlink() else ""
        raise ValueError(f"source={source!r}: {picture_list.FILE} is {kind}{where}; give a regular file in its place")
    return None


def _recognise(source: str, listing: Listing, table: tables.Table | None) -> str:
    names = listing.names
    if table and all(name in table.header for name in picture_list.COLUMNS):
        return "images"
    if any(_is_kaggle(name) for name in names):
        return "kaggle"
    if any(name.lower().endswith(DICOM_SUFFIXES) for name in names) or _holds_dicom(source, names):
        return "dicom"
    if table and (line := table.header_line(picture_list.COLUMNS)):
        raise ValueError(
            f"source={source!r}: {table.name}: the header stands in line {line}; delete the lines above it"
        )
    raise ValueError(
        f"source={source!r}: not a known layout; looked for {picture_list.FILE} with the columns "
        f"{', '.join(picture_list.COLUMNS)}, for jpeg/SERIES/*.jpg and for *.dcm; "
        f"found {tables.counted(names) or 'no file'}; give the folder that holds one of them"
        f"{tables.as_read([table] if table else [], picture_list.COLUMNS)}"
    )


def _holds_dicom(source: str, names: Iterable[str]) -> bool:
    """Whether a file without a suffix is DICOM by its first bytes."""
    candidates = [name for name in names if is_suffixless(name)][:LOOKED_INTO]
    return any(dicom.is_dicom(_head(source, name, HEADER_BYTES[0])) for name in candidates)


def _is_dicom(name: str) -> bool:
    return name.lower().endswith(DICOM_SUFFIXES) or is_suffixless(name)


def _is_kaggle(name: str) -> bool:
    parts = name.lower().split("/")
    return len(parts) >= 3 and parts[-3] == "jpeg" and parts[-1].endswith((".jpg", ".jpeg"))


def _locate_series(source: str, kind: str, listing: Listing, labels: str, config: DataConfig) -> Located:
    # a folder of labels was put together by hand; a source that brings its own may not reach out of itself
    tables_at, linked = labels or source, bool(labels)
    cases = cbis_ddsm.read_cases(tables_at, config.subset, linked=linked)
    wanted, bad = cbis_ddsm.wanted_images(cases, config.images)
    doubted = cbis_ddsm.doubted_images(cases, config.images)
    uids = {uid for image in (*wanted, *doubted) for uid in (*image.series_uids, *image.twins)}
    is_candidate = _is_kaggle if kind == "kaggle" else _is_dicom
    series, unnamed = _by_folder(filter(is_candidate, listing.names), uids)
    if uids - series.keys() and unnamed:
        folders = {item.folder: uid for uid, item in idc.read_index(tables_at, linked=linked).items()}
        aliased, unnamed = _by_folder(unnamed, uids, folders)
        series |= aliased
    unreadable = [item for item in listing.rejected() if is_candidate(item.source)]
    if uids - series.keys() and unnamed and kind == "dicom":
        by_header, headless = _by_header(source, unnamed)
        series |= by_header
        unreadable += headless
    jobs = [_series_job(image, series, listing) for image in wanted]
    missing = [_missing(image) for image, job in zip(wanted, jobs, strict=True) if job is None]
    known_again = (_series_job(image, series, listing) for image in doubted)
    expected = len(wanted) + cbis_ddsm.lost_images(bad, config.images)
    return Located(kind, tuple(filter(None, (*jobs, *known_again))), (*bad, *missing, *unreadable), expected)


def _by_folder(
    files: Iterable[str], uids: set[str], aliases: dict[str, str] | None = None
) -> tuple[dict[str, list[str]], list[str]]:
    """Files of each wanted series that a folder's name tells, and the files that no folder's name explains."""
    series: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for name in files:
        folders = reversed(name.split("/")[:-1])
        known = (folder if aliases is None else aliases.get(folder, "") for folder in folders)
        uid = next((candidate for candidate in known if candidate in uids), "")
        series.setdefault(uid, []).append(name) if uid else unnamed.append(name)
    return series, unnamed


def _by_header(root: str, files: list[str]) -> tuple[dict[str, list[str]], list[RejectedImage]]:
    """Files of each series as their own headers tell, and the files whose header cannot be read."""
    series: dict[str, list[str]] = {}
    bad: list[RejectedImage] = []
    dicom.load()
    with (
        console.progress("read headers", len(files), unit="files") as advance,
        ThreadPoolExecutor(HEADER_READERS) as readers,
    ):
        for name, uid in zip(files, readers.map(lambda name: _series_uid(root, name), files), strict=True):
            if isinstance(uid, BadImageError):
                bad.append(RejectedImage("", name, uid.reason, uid.fix))
            elif uid:
                series.setdefault(uid, []).append(name)
            advance()
    return series, bad


def _series_uid(root: str, name: str) -> str | BadImageError:
    """SeriesInstanceUID by the first bytes of a file; by more of them where private elements make its header long.

    Empty for a file without a suffix that is no DICOM, a README or the like.
    """
    for limit in HEADER_BYTES:
        head = _head(root, name, limit)
        try:
            return dicom.series_uid(head)
        except BadImageError as error:
            if not dicom.is_dicom(head) and is_suffixless(name):
                return ""
            if len(head) < limit or not dicom.is_dicom(head) or limit == HEADER_BYTES[-1]:
                return error
    raise AssertionError("HEADER_BYTES is empty")


def _head(root: str, name: str, limit: int) -> bytes:
    try:
        named = f"a file below {root}"
        return storage.read_bytes(storage.join(root, name), limit=limit, key=storage.Key.SOURCE, named=named)
    except OSError:
        if storage.is_remote(root):
            raise
        return b""  # a file of this disk that cannot be read is quarantined like one without a header


def _series_job(image: ImageSpec, series: dict[str, list[str]], listing: Listing) -> Job | None:
    """The files that may hold an image: those of its own series, else those of its twins'."""
    for uids in (image.series_uids, image.twins):
        files = sorted((name, uid) for uid in uids for name in series.get(uid, ()))
        if files:
            stamp = ";".join(f"{name} {listing.stamps[name]}" for name, _ in files)
            return Job(image, listing.root, tuple(name for name, _ in files), stamp, tuple(uid for _, uid in files))
    return None


def _missing(image: ImageSpec) -> RejectedImage:
    reason = f"no file of series {' or '.join((*image.series_uids, *image.twins))}"
    return RejectedImage(image.image_id, "", reason, "download the series, or choose another data.subset")


def _locate_idc(labels: str, config: DataConfig) -> Located:
    """Every wanted image by the index alone; a series' objects are listed when it is read."""
    cases = cbis_ddsm.read_cases(labels, config.subset)
    wanted, bad = cbis_ddsm.wanted_images(cases, config.images)
    index = idc.read_index(labels)
    if not index:
        raise FileNotFoundError(
            f"labels={labels!r}: no index of the Imaging Data Commons; put a CSV with the columns "
            f"{', '.join(idc.COLUMNS)} there, or install idc-index-data"
        )
    jobs = [_indexed_job(image, index) for image in wanted]
    missing = [_missing(image) for image, job in zip(wanted, jobs, strict=True) if job is None]
    known_again = (_indexed_job(image, index) for image in cbis_ddsm.doubted_images(cases, config.images))
    expected = len(wanted) + cbis_ddsm.lost_images(bad, config.images)
    return Located("idc", tuple(filter(None, (*jobs, *known_again))), (*bad, *missing), expected)


def listed(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs, of an index's series with the objects that are there now, by which it is known whether they changed.

    Raises OSError where the store cannot be reached.
    """
    known = tuple(jobs)
    if not any(name.endswith("/") for job in known for name in job.files):
        return known
    complete: list[Job] = []
    with (
        console.progress("list series", len(known), unit="images") as advance,
        patience.threads(HEADER_READERS) as readers,
    ):
        for job in readers.map(_listed, known):  # all jobs of an index are series
            complete.append(job)
            advance()
    return tuple(complete)


def _listed(job: Job) -> Job:
    files: dict[str, tuple[str, str]] = {}
    for folder, uid in zip(job.files, job.series, strict=True):
        stamps = storage.list_stamps(storage.join(job.root, folder.rstrip("/")), key=storage.Key.SOURCE)
        files |= {folder + name: (stamp, uid) for name, stamp in stamps.items() if not is_companion(name)}
    if not files:
        return job  # which cannot be read
    stamp = ";".join(f"{name} {stamp}" for name, (stamp, _) in sorted(files.items()))
    return replace(job, files=tuple(sorted(files)), stamp=stamp, series=tuple(files[name][1] for name in sorted(files)))


def _indexed_job(image: ImageSpec, index: dict[str, idc.Series]) -> Job | None:
    for uids in (image.series_uids, image.twins):
        entries = [index[uid] for uid in uids if uid in index]
        if entries:
            root = entries[0].url.rpartition("/")[0]
            folders = tuple(f"{entry.folder}/" for entry in entries)
            stamp = ";".join(entry.url for entry in entries)
            return Job(image, root, folders, stamp, tuple(entry.uid for entry in entries))
    return None


def _locate_images(listing: Listing, manifest: tables.Table, config: DataConfig) -> Located:
    """Every image of a plain folder's manifest, whatever the configured subset."""
    listed = picture_list.read(manifest, listing, by_patient=config.split == "patient")
    jobs = [
        Job(item.spec, listing.root, (item.file,), f"{item.file} {listing.stamps.get(item.file, '')}")
        for item in (*listed.images, *listed.doubted)
    ]
    return Located("images", tuple(jobs), listed.bad, listed.expected)
