"""One image from its source file to its place in the work folder: read, decode, square, save.

This is what the worker processes run, so it imports neither pandas nor torch. A few threads make an image each: what
takes time (reading, hashing, resizing, compressing) leaves Python's lock free. An image is read whole into memory and
never touches the disk before it is a small square.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from mammogan import patience, storage
from mammogan.config import DataConfig
from mammogan.data import dicom, picture
from mammogan.data.finished import Finished, FinishedImage, Made
from mammogan.data.preprocess import square
from mammogan.data.quarantine import BadImageError, RejectedImage
from mammogan.data.sources import Job

REMOTE_THREADS = 4
"""Images on their way to each core from a remote store."""
MASK_EDGE = 0.05
"""A mask's pixels lie within this share of the grey range from one of its ends..."""
MASK_SHARE = 0.98
"""...for at least this share of them; JPEG blurs the edge between."""

_stop: Event | None = None


@dataclass(frozen=True)
class Source:
    """One source file in memory."""

    name: str
    sha256: str
    content: memoryview


def prepare(stop: Event) -> None:
    """Set up a worker process: Ctrl-C is the parent's business, who then sets ``stop``."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def finish_batch(
    jobs: Sequence[Job], config: DataConfig, images: Finished, cores: int
) -> list[FinishedImage | RejectedImage]:
    """Results of ``finish_each`` as a list, cut short when the parent says stop."""
    return list(finish_each(jobs, config, images, cores))


def finish_each(
    jobs: Sequence[Job], config: DataConfig, images: Finished, cores: int
) -> Iterator[FinishedImage | RejectedImage]:
    """Make each image and keep it among ``images``; yield it, or why it cannot be made, in the order of ``jobs``.

    One image more is under way than ``cores`` compute, several more from a remote store: that bounds the memory.
    Raises OSError where a remote store cannot be read or written: that is no fault of one image.
    """
    threads = 1 + cores * (REMOTE_THREADS if any(storage.is_remote(job.root) for job in jobs) else 1)
    with patience.threads(threads, _stopped) as pool:
        running: deque[Future[FinishedImage | RejectedImage]] = deque()
        waiting = iter(jobs)
        while True:
            wanted = islice(waiting, 2 * threads - len(running))
            running.extend(pool.submit(_finish, job, config, images) for job in wanted)
            if not running or _stopped():
                return
            yield running.popleft().result()


def _stopped() -> bool:
    return _stop is not None and _stop.is_set()


def _finish(job: Job, config: DataConfig, images: Finished) -> FinishedImage | RejectedImage:
    try:
        sources = read(job)
        source, pixels = choose(job, sources, window=config.window == "apply")
        content = picture.encode_png(square(pixels, config))
    except BadImageError as error:
        return RejectedImage(job.wanted.image_id, ";".join(job.files), error.reason, error.fix)
    made = Made(
        source=source.name,
        source_sha256=source.sha256,
        sha256=hashlib.sha256(content).hexdigest(),
        original_rows=pixels.shape[0],
        original_cols=pixels.shape[1],
        copies=tuple(each.name for each in sources if each.sha256 == source.sha256 and each is not source),
    )
    images.keep(job, made, content)
    return FinishedImage(job.wanted, made)


def read(job: Job) -> list[Source]:
    """The files of a job. Raises BadImageError for a file that is missing or, on this disk, cannot be read."""
    sources = []
    for name in _files(job):
        try:
            content = _content(job.root, name)
        except FileNotFoundError as error:
            raise BadImageError("the file is missing", "download it again") from error
        except OSError as error:
            if storage.is_remote(job.root):
                raise
            raise BadImageError(f"the file cannot be read ({error.strerror})", "check its permissions") from error
        sources.append(Source(name, hashlib.sha256(content).hexdigest(), content))
    return sources


def _content(root: str, name: str) -> memoryview:
    """Whole content of a file, from this disk without the page faults that a new ``bytes`` of 25 MB costs.

    numpy asks for large pages: filling small ones took as long as hashing the file.
    """
    if storage.is_remote(root):
        return memoryview(storage.read_bytes(storage.join(root, name)))
    with Path(root, name).open("rb") as file:
        buffer = np.empty(os.fstat(file.fileno()).st_size, np.uint8).data
        return buffer[: file.readinto(buffer)]


def _files(job: Job) -> list[str]:
    names: list[str] = []
    for name in job.files:
        if name.endswith("/"):
            names.extend(name + each for each in storage.list_files(storage.join(job.root, name.rstrip("/"))))
        else:
            names.append(name)
    return names


def decode(content: bytes | memoryview, *, window: bool = False) -> np.ndarray:
    """Pixels (rows, columns) of a DICOM file or a picture. Raises BadImageError and nothing else."""
    if not len(content):
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
