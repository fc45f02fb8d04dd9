"""Drawing, filtering, encoding and writing overlapped, a chunk of images at a time, in constant memory.

The generator runs in the calling thread; the PNGs are made and written by a few others, because Pillow, zlib and the
disk release the interpreter's lock. A chunk is recorded once its images stand, so that an interrupted stream goes on
after its last whole chunk and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammogan import codec, storage
from mammogan.config import SynthesiseConfig
from mammogan.data.picture import encode_png
from mammogan.synthesis import secondary_capture
from mammogan.synthesis.plausibility import Filter
from mammogan.synthesis.sampling import BATCH_SIZE, Model, batches
from mammogan.synthesis.secondary_capture import Origin

CHUNK = 8 * BATCH_SIZE
WRITERS = 2
CHUNKS_AHEAD = 2
MOST_DRAWN = 20
"""Images drawn per image wanted, above which a filter is held to be too strict."""
CHUNK_FORMAT = 1


@dataclass(frozen=True)
class Chunk:
    """Images that were drawn together, and which of them were kept."""

    first: int
    """Index of the first image drawn."""
    drawn: int
    """Images drawn."""
    kept: tuple[tuple[int, str], ...]
    """Index and sha256 of the PNG of each image kept, in order."""
    dropped: Mapping[str, int]
    """Reason to the number of images left out for it."""


@dataclass(frozen=True)
class Stream:
    """What is drawn, and where it goes."""

    model: Model
    """Generator and version."""
    label: str
    """Class that the generator learned."""
    settings: SynthesiseConfig
    """Seed, truncation and whether DICOM is wanted."""
    root: str
    """Address, local or s3://, below which ``images/`` and ``dicom/`` are written."""
    records: str
    """Address of the finished chunks' records."""

    @property
    def series(self) -> str:
        """What the images' names begin with: model version, seed and, where there is one, truncation."""
        cut = "" if self.settings.truncation == 1 else f"t{self.settings.truncation:g}"
        return f"synthetic-{self.model.version}-s{self.settings.seed}{cut}"

    def image_id(self, index: int) -> str:
        """Name of image ``index``; names sort as indices do."""
        return f"{self.series}-{index:08d}"

    def chunks(self, wanted: int, left_out: Filter) -> Iterator[Chunk]:
        """Chunks in order until ``wanted`` images are kept; each is whole on disk when it comes.

        Raises ValueError when so many are left out that 20 times as many as wanted have been drawn.
        """
        with ThreadPoolExecutor(WRITERS) as writers:
            pending: deque[Future[Chunk]] = deque()
            try:
                for chunk in self._begun(wanted, left_out, writers):
                    pending.append(chunk)
                    if len(pending) > CHUNKS_AHEAD:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                writers.shutdown(cancel_futures=True)

    def _begun(self, wanted: int, left_out: Filter, writers: ThreadPoolExecutor) -> Iterator[Future[Chunk]]:
        """Chunks that an earlier attempt finished, and new ones while their images are being written."""
        kept = first = 0
        sampling: Iterator[np.ndarray] | None = None
        while kept < wanted:
            require_yield(self.settings, kept, first, wanted)
            if chunk := self._finished(first):
                future: Future[Chunk] = Future()
                future.set_result(chunk)
                kept, first, sampling = kept + len(chunk.kept), first + chunk.drawn, None
                yield future
                continue
            sampling = sampling or batches(self.model.generator, self.settings.seed, self.settings.truncation, first)
            count = min(CHUNK // BATCH_SIZE, math.ceil((wanted - kept) / BATCH_SIZE))
            drawn = list(itertools.islice(sampling, count))
            reasons = [reason for images in drawn for reason in left_out(images)]
            passed = [number for number, reason in enumerate(reasons) if not reason][: wanted - kept]
            yield writers.submit(self._write, first, np.concatenate(drawn), passed, reasons)
            kept, first = kept + len(passed), first + len(reasons)

    def _write(self, first: int, images: np.ndarray, passed: list[int], reasons: list[str]) -> Chunk:
        kept = tuple((first + number, self._write_image(first + number, images[number])) for number in passed)
        chunk = Chunk(first, len(images), kept, dict(Counter(filter(None, reasons))))
        storage.write_bytes(self._record(first), codec.dumps(chunk, CHUNK_FORMAT))
        return chunk

    def _write_image(self, index: int, pixels: np.ndarray) -> str:
        content = encode_png(pixels)
        image_id = self.image_id(index)
        put(storage.join(self.root, "images", f"{image_id}.png"), content)
        if self.settings.dicom:
            origin = Origin(image_id, self.series, index, self.label, self.model.sha256)
            put(storage.join(self.root, "dicom", f"{image_id}.dcm"), secondary_capture.encode(pixels, origin))
        return hashlib.sha256(content).hexdigest()

    def _record(self, first: int) -> str:
        return storage.join(self.records, f"{first:08d}.json")

    def recorded(self) -> Iterator[Chunk]:
        """Chunks that are finished, in order, read from their records."""
        first = 0
        while chunk := self._read(first):
            yield chunk
            first += chunk.drawn

    def _read(self, first: int) -> Chunk | None:
        """Record of the chunk that starts at ``first``; None where there is none."""
        try:
            content = storage.read_bytes(self._record(first))
        except FileNotFoundError:
            return None
        return codec.loads(Chunk, content, CHUNK_FORMAT, self._record(first))

    def _finished(self, first: int) -> Chunk | None:
        """Chunk that an earlier attempt finished, if its images are what its record says."""
        chunk = self._read(first)
        return chunk if chunk and all(self._stands(index, sha256) for index, sha256 in chunk.kept) else None

    def _stands(self, index: int, sha256: str) -> bool:
        uri = storage.join(self.root, "images", f"{self.image_id(index)}.png")
        if storage.is_remote(uri):  # an object is written whole or not at all
            return True
        path = Path(uri)
        return path.is_file() and storage.sha256_of(path) == sha256


def require_yield(settings: SynthesiseConfig, kept: int, drawn: int, wanted: int) -> None:
    """Raise ValueError where so many images are left out that 20 times as many as wanted have been drawn."""
    if drawn > MOST_DRAWN * (wanted + CHUNK):
        raise ValueError(
            f"synthesise.min_realism={settings.min_realism:g}, synthesise.min_distance={settings.min_distance:g}: "
            f"only {kept} of {drawn} images pass; lower them"
        )


def put(uri: str, content: bytes) -> None:
    """Write a file of the stream. Local ones are not synced one by one: the chunk's record vouches for them."""
    if storage.is_remote(uri):
        storage.write_bytes(uri, content)
    else:
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.named(path.parent):  # "No space left on device" alone does not say where
            path.write_bytes(content)
