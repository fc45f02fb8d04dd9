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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from mammogan import patience, storage
from mammogan.config import DataConfig
from mammogan.data import dicom, picture
from mammogan.data.finished import Conversion, Finished, FinishedImage, Unused
from mammogan.data.preprocess import square
from mammogan.data.quarantine import BadImageError, RejectedImage
from mammogan.data.sources import Job

REMOTE_THREADS = 4
"""Images on their way to each core from a remote store."""
MASK_EDGE = 0.05
"""A mask's pixels lie within this share of the grey range from one of its ends..."""
MASK_SHARE = 0.98
"""...for at least this share of them; JPEG blurs the edge between."""
WHITE_SHARE = 0.8
"""Of what is not black, the share that is white in a mask that nobody called one; the blurred edge of a small shape is
a tenth of it."""

_stop: Event | None = None


@dataclass(frozen=True)
class Source:
    """One source file, decoded."""

    name: str
    series_uid: str
    """Empty where no table knows it."""
    sha256: str
    pixels: np.ndarray
    """(rows, columns)."""
    burned_in: bool
    """Whether the file says that text is burnt into the pixels."""


@dataclass(frozen=True)
class Sources:
    """The files of a job, and those that cannot be read."""

    readable: tuple[Source, ...]
    unused: tuple[Unused, ...]


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
    dicom.load()
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
        sources = read(job, window=config.window == "apply")
        source = choose(job, sources.readable)
        content = picture.encode_png(square(source.pixels, config))
    except BadImageError as error:
        return RejectedImage(job.spec.image_id, ";".join(job.files), error.reason, error.fix)
    finished = Conversion(
        source=source.name,
        source_uid=source.series_uid,
        source_sha256=source.sha256,
        sha256=hashlib.sha256(content).hexdigest(),
        original_rows=source.pixels.shape[0],
        original_cols=source.pixels.shape[1],
        copies=tuple(other.name for other in sources.readable if other.sha256 == source.sha256 and other is not source),
        unused=sources.unused,
        burned_in=source.burned_in,
    )
    images.keep(job, finished, content)
    return FinishedImage(job.spec, finished)


def read(job: Job, *, window: bool = False) -> Sources:
    """The files of a job, decoded; one that cannot be read does not spoil the others.

    Raises BadImageError where none can be read, OSError where a remote store cannot be.
    """
    readable: list[Source] = []
    errors: list[tuple[str, BadImageError]] = []
    for name, series_uid in zip(job.files, job.series or [""] * len(job.files), strict=True):
        try:
            content = _content(job.root, name)
            sha256 = hashlib.sha256(content).hexdigest()
            same = next((earlier for earlier in readable if earlier.sha256 == sha256), None)
            image = _decoded(content, window=window) if same is None else dicom.Picture(same.pixels, same.burned_in)
            readable.append(Source(name, series_uid, sha256, image.pixels, image.burned_in))
        except BadImageError as error:
            errors.append((name, error))
    if errors and not any(_may_be(job, earlier) for earlier in readable):
        raise errors[0][1]
    return Sources(tuple(readable), tuple(Unused(name, error.reason) for name, error in errors))


def _content(root: str, name: str) -> memoryview:
    """Whole content of a file. Raises BadImageError where it is missing or, on this disk, cannot be read."""
    try:
        if storage.is_remote(root):
            named = f"a file below {root}"
            return memoryview(storage.read_bytes(storage.join(root, name), key=storage.Key.SOURCE, named=named))
        return _whole(storage.inside(Path(root), name))
    except FileNotFoundError as error:
        raise BadImageError("the file is missing", "download it again") from error
    except OSError as error:
        if storage.is_remote(root):
            raise
        raise BadImageError(
            f"the file cannot be read ({error.strerror})", "give a regular file that may be read"
        ) from error
    except ValueError as error:
        reason = "the file leaves its folder by a link, or is one to itself"
        raise BadImageError(reason, "copy the file there") from error


def _whole(path: Path) -> memoryview:
    """Content of a regular file, without the page faults that a new ``bytes`` of 25 MB costs.

    numpy asks for large pages: filling small ones took as long as hashing the file.
    """
    with storage.open_regular(path) as file:
        buffer = np.empty(os.fstat(file.fileno()).st_size, np.uint8).data
        return buffer[: file.readinto(buffer)]


def decode(content: bytes | memoryview, *, window: bool = False) -> np.ndarray:
    """Pixels (rows, columns) of a DICOM file or a picture. Raises BadImageError and nothing else."""
    return _decoded(content, window=window).pixels


def _decoded(content: bytes | memoryview, *, window: bool) -> dicom.Picture:
    """A DICOM file or a picture, of which the latter cannot say that text is burnt into it."""
    if not len(content):
        raise BadImageError("the file is empty", "download it again")
    if dicom.is_dicom(content):
        return dicom.read(content, window=window)
    if dicom.is_headless(content):
        raise BadImageError("a DICOM file without its mark DICM, or without its first elements", "export it again")
    return dicom.Picture(picture.decode(content), burned_in=False)


def choose(job: Job, sources: Iterable[Source]) -> Source:
    """The one file that holds the wanted image; a crop is told from its mask by the grey values."""
    distinct = {source.sha256: source for source in reversed(list(sources))}
    candidates = [source for source in distinct.values() if _may_be(job, source)]
    if distinct and not candidates:
        reason = f"nearly all of {'it' if len(distinct) == 1 else 'each file'} is black or white, as a mask is"
        raise BadImageError(reason, "download the series' image of the crop")
    if len(candidates) != 1:
        raise BadImageError(f"{len(candidates)} files could be the image", "keep the one file of the series")
    if job.spec.content != "crop" and is_of_two(candidates[0].pixels):
        reason = "its pixels have two values alone, as those of a mask or of one bit a pixel"
        raise BadImageError(reason, "give the grey image; leave a mask's row out")
    if job.spec.content != "crop" and is_drawing(candidates[0].pixels):
        raise BadImageError(
            "nearly all of it is black or white, as a mask is", "give the image; leave a mask's row out"
        )
    return candidates[0]


def _may_be(job: Job, source: Source) -> bool:
    return job.spec.content != "crop" or not is_mask(source.pixels)


def is_of_two(pixels: np.ndarray) -> bool:
    """Whether no pixel has a value between the least and the greatest one, which are not the same."""
    thinned = pixels[::16, ::16]  # most pictures are told by these: their own ends lie within the picture's
    if ((thinned > thinned.min()) & (thinned < thinned.max())).any():
        return False
    low, high = pixels.min(), pixels.max()
    return bool(low != high and ((pixels == low) | (pixels == high)).all())


def is_drawing(pixels: np.ndarray) -> bool:
    """Whether pixels (rows, columns) are a mask's that nobody called one: a white shape on black, and hardly any grey.

    More than ``is_mask`` asks for, because a mammogram may be nearly all background: what is not black must be white.
    About 65 000 pixels are looked at, all over the picture.
    """
    step = max(1, min(pixels.shape) // 256)
    thinned = np.ma.getdata(pixels)[::step, ::step].astype(np.float64)  # what is masked is black
    low, high = thinned.min(), thinned.max()
    edge = MASK_EDGE * (high - low)
    shape = np.count_nonzero(thinned > low + edge)
    return bool(shape and np.count_nonzero(thinned >= high - edge) / shape >= WHITE_SHARE)


def is_mask(pixels: np.ndarray) -> bool:
    """Whether nearly all pixels are at one of the two ends of the grey range."""
    low, high = float(pixels.min()), float(pixels.max())
    edge = MASK_EDGE * (high - low)
    return bool(np.mean((pixels <= low + edge) | (pixels >= high - edge)) >= MASK_SHARE)
