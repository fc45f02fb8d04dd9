"""One image from its source file to its place in the work folder: read, decode, square, save.

This is what the worker processes run, so it imports neither pandas nor torch. A few reader threads fetch the next
files while the current one is decoded; an image is read whole into memory and never touches the disk before it is a
small square. A finished image is a PNG and a JSON record beside it, which is written last: a record that stands is an
image that is done.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import dicom, picture
from mammogan.data.preprocess import square
from mammogan.data.quarantine import Bad, BadImageError
from mammogan.data.sources import Job

LOCAL_READERS = 2
REMOTE_READERS = 4
"""Files in flight beside the one that is decoded; what bounds the memory of a process."""
MASK_EDGE = 0.05
"""A mask's pixels lie within this share of the grey range from one of its ends..."""
MASK_SHARE = 0.98
"""...for at least this share of them; JPEG blurs the edge between."""

Row = dict[str, Any]
"""A manifest row without its split, and the names of the ``copies`` of its source file."""

_stop: Event | None = None


@dataclass(frozen=True)
class Source:
    """One source file in memory."""

    name: str
    sha256: str
    content: bytes


def prepare(stop: Event) -> None:
    """Set up a worker process: Ctrl-C is the parent's business, who then sets ``stop``."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def finish_batch(jobs: Sequence[Job], config: DataConfig, folder: Path) -> list[Row | Bad]:
    """Results of ``finish_each`` as a list, cut short when the parent says stop."""
    return list(finish_each(jobs, config, folder))


def finish_each(jobs: Sequence[Job], config: DataConfig, folder: Path) -> Iterator[Row | Bad]:
    """Make each image in ``folder``; yield its row, or why it cannot be made, in the order of ``jobs``.

    Raises OSError where a remote store cannot be read: that is no fault of one image.
    """
    remote = any(storage.is_remote(job.root) for job in jobs)
    waiting = iter(jobs)
    with ThreadPoolExecutor(REMOTE_READERS if remote else LOCAL_READERS) as readers:
        ahead: deque[Future[list[Source]]] = deque()
        try:
            for job in jobs:
                wanted = (REMOTE_READERS if remote else LOCAL_READERS) + 1 - len(ahead)
                ahead.extend(readers.submit(read, each) for each in islice(waiting, wanted))
                yield _finish(job, ahead.popleft(), config, folder)
                if _stop is not None and _stop.is_set():
                    return
        finally:
            readers.shutdown(cancel_futures=True)


def _finish(job: Job, reading: Future[list[Source]], config: DataConfig, folder: Path) -> Row | Bad:
    try:
        sources = reading.result()
        source, pixels = choose(job, sources, window=config.window == "apply")
        content = picture.encode_png(square(pixels, config))
    except BadImageError as error:
        return Bad(job.wanted.image_id, ";".join(job.files), error.reason, error.mend)
    row = _row(job, source, pixels.shape, hashlib.sha256(content).hexdigest())
    row["copies"] = [each.name for each in sources if each.sha256 == source.sha256 and each is not source]
    storage.write_bytes(str(folder / f"{job.wanted.image_id}.png"), content)
    record = json.dumps({"stamp": job.stamp, "row": row}, sort_keys=True)
    storage.write_bytes(str(folder / f"{job.wanted.image_id}.json"), record.encode())
    return row


def finished(job: Job, folder: Path) -> Row | None:
    """Row of an image that an earlier attempt finished from the same source files, else None."""
    path = folder / f"{job.wanted.image_id}.json"
    if not path.is_file() or not path.with_name(f"{job.wanted.image_id}.png").is_file():
        return None
    record = json.loads(path.read_text())
    known = _known(job)
    return {**record["row"], **known} if record["stamp"] == job.stamp else None


def read(job: Job) -> list[Source]:
    """The files of a job. Raises BadImageError for a file that is missing or, on this disk, cannot be read."""
    sources = []
    for name in _files(job):
        try:
            content = storage.read_bytes(storage.join(job.root, name))
        except FileNotFoundError as error:
            raise BadImageError("the file is missing", "download it again") from error
        except OSError as error:
            if storage.is_remote(job.root):
                raise
            raise BadImageError(f"the file cannot be read ({error.strerror})", "check its permissions") from error
        sources.append(Source(name, hashlib.sha256(content).hexdigest(), content))
    return sources


def _files(job: Job) -> list[str]:
    names: list[str] = []
    for name in job.files:
        if name.endswith("/"):
            names.extend(name + each for each in storage.list_files(storage.join(job.root, name.rstrip("/"))))
        else:
            names.append(name)
    return names


def decode(content: bytes, *, window: bool = False) -> np.ndarray:
    """Pixels (rows, columns) of a DICOM file or a picture. Raises BadImageError and nothing else."""
    if not content:
        raise BadImageError("the file is empty", "download it again")
    return dicom.decode(content, window=window) if dicom.is_dicom(content) else picture.decode(content)


def choose(job: Job, sources: list[Source], *, window: bool = False) -> tuple[Source, np.ndarray]:
    """The one file that holds the wanted image, with its pixels; a crop is told from its mask by the grey values."""
    distinct = {each.sha256: each for each in reversed(sources)}
    decoded = [(each, decode(each.content, window=window)) for each in distinct.values()]
    if job.wanted.content == "crop":
        decoded = [each for each in decoded if not is_mask(each[1])]
    if len(decoded) != 1:
        raise BadImageError(f"{len(decoded)} files could be the image", "keep the one file of the series")
    return decoded[0]


def is_mask(pixels: np.ndarray) -> bool:
    """Whether nearly all pixels are at one of the two ends of the grey range."""
    low, high = float(pixels.min()), float(pixels.max())
    edge = MASK_EDGE * (high - low)
    return bool(np.mean((pixels <= low + edge) | (pixels >= high - edge)) >= MASK_SHARE)


def _known(job: Job) -> Row:
    """What the labels say of an image; it may change while its pixels stay."""
    wanted = job.wanted
    return {
        "image_id": wanted.image_id,
        "file": f"images/{wanted.image_id}.png",
        "label": wanted.label,
        "pathology": wanted.pathology,
        "patient_id": wanted.patient_id,
        "laterality": wanted.laterality,
        "view": wanted.view,
        "abnormality": wanted.abnormality,
        "subset": wanted.subset,
        "source_uid": wanted.series_uids[0] if wanted.series_uids else "",
    }


def _row(job: Job, source: Source, shape: tuple[int, ...], sha256: str) -> Row:
    return {
        **_known(job),
        "source": source.name,
        "source_sha256": source.sha256,
        "sha256": sha256,
        "original_rows": shape[0],
        "original_cols": shape[1],
    }
