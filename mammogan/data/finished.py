"""Finished images: kept in the work folder of this machine and, where there is a store, in that for the next one.

In the folder an image is a PNG and a JSON record beside it, written last: a record that stands is an image that is
done. In the store it is one object, the record in the first line and the PNG behind it, below a name made of the
source's address and the stamps of its files (``storage.list_stamps``). An image from the store goes through the folder
and its check like one of an earlier attempt; what is torn, or belongs to another source or to files that have changed,
is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mammogan import codec, console, lock, patience, storage
from mammogan.config import digest
from mammogan.data.cbis_ddsm import ImageSpec
from mammogan.data.sources import Job

STORE_THREADS = 16
"""Images on their way to or from the store at a time, before the first one is made."""
PART = ".part"
"""How the name of a file ends that is not finished."""


@dataclass(frozen=True)
class Unused:
    """A file beside an image's own that could not be read."""

    source: str
    """Its name below the source."""
    reason: str


@dataclass(frozen=True)
class Conversion:
    """What a source file became."""

    source: str
    """Its name below the source."""
    source_uid: str
    """SeriesInstanceUID of the series that the file was found in; empty where there is none."""
    source_sha256: str
    sha256: str
    """Of the PNG."""
    original_rows: int
    original_cols: int
    copies: tuple[str, ...]
    """Names of other files with the same content."""
    unused: tuple[Unused, ...]
    """Other files of the same series that cannot be read."""
    burned_in: bool
    """Whether its file says that text is burnt into the pixels."""


@dataclass(frozen=True)
class FinishedImage:
    """An image that was made, and what the labels say of it now; they may change while its pixels stay."""

    spec: ImageSpec
    conversion: Conversion

    def cells(self) -> dict[str, str | int]:
        """Its row of the manifest; ``split`` as the source says it, or empty."""
        spec, conversion = self.spec, self.conversion
        return {
            "image_id": spec.image_id,
            "file": f"images/{spec.image_id}.png",
            "label": spec.label,
            "pathology": spec.pathology,
            "patient_id": spec.patient_id,
            "laterality": spec.laterality,
            "view": spec.view,
            "abnormality": spec.abnormality,
            "subset": spec.subset,
            "split": spec.split,
            "source_uid": conversion.source_uid,
            "source": conversion.source,
            "source_sha256": conversion.source_sha256,
            "sha256": conversion.sha256,
            "original_rows": conversion.original_rows,
            "original_cols": conversion.original_cols,
            "density": spec.described.density,
            "subtlety": spec.described.subtlety,
        }


@dataclass(frozen=True)
class Finished:
    """The images of one choice of pixel settings."""

    folder: Path
    """Work folder of this machine."""
    store: str = ""
    """Address of the copies that outlive it; empty where there are none."""

    def restore(self, jobs: Sequence[Job]) -> tuple[list[FinishedImage], list[Job]]:
        """The images that are finished, here or in the store, and the jobs that are left.

        What only one of the two places had is copied to the other. Raises OSError where the store cannot be used.
        """
        images = [self.image(job) for job in jobs]
        if self.store:
            images = self._exchanged(jobs, images)
        left = [job for job, image in zip(jobs, images, strict=True) if image is None]
        return [image for image in images if image is not None], left

    def image(self, job: Job) -> FinishedImage | None:
        """An image that was finished in the folder from the same source files, else None."""
        try:
            with storage.named(self.folder):
                written = (self.folder / f"{job.spec.image_id}.json").read_bytes()
                content = (self.folder / f"{job.spec.image_id}.png").read_bytes()
            record = codec.parsed(written, "a finished image")
        except (FileNotFoundError, ValueError):  # ValueError: the machine went down before the record was on its disk
            return None
        conversion = _conversion(record)
        if (
            conversion is None
            or not isinstance(record, dict)
            or conversion.sha256 != hashlib.sha256(content).hexdigest()
        ):
            return None
        if (record.get("address"), record.get("stamp")) != (_address(job), job.stamp):
            return None
        return FinishedImage(job.spec, conversion)

    def keep(self, job: Job, conversion: Conversion, content: bytes) -> None:
        """Keep an image in the folder and then in the store. Raises OSError; what the folder has got stays there."""
        entry = {"address": _address(job), "stamp": job.stamp, "row": codec.encode(conversion)}
        record = json.dumps(entry, sort_keys=True).encode()
        self._keep_here(job, record, content)
        if self.store:
            storage.write_bytes(self._entry(job), record + b"\n" + content)

    def _keep_here(self, job: Job, record: bytes, content: bytes) -> None:
        _keep(self.folder / f"{job.spec.image_id}.png", content)
        _keep(self.folder / f"{job.spec.image_id}.json", record)

    def _exchanged(self, jobs: Sequence[Job], images: Sequence[FinishedImage | None]) -> list[FinishedImage | None]:
        """The images and those that the store adds; the store gets what it lacks."""
        there = self._entries(jobs)
        places = [(image is not None, self._entry(job) in there) for job, image in zip(jobs, images, strict=True)]
        one_sided = [number for number, (here, stored) in enumerate(places) if here != stored]
        if not one_sided:
            return list(images)

        def exchange(number: int) -> FinishedImage | None:
            job, image = jobs[number], images[number]
            if image is None:
                return self._fetched(job)
            self._put(job)
            return image

        exchanged = list(images)
        threads = min(STORE_THREADS, len(one_sided))
        with (
            console.progress("finished images", len(one_sided), unit="files") as advance,
            patience.threads(threads) as pool,
        ):
            for number, image in zip(one_sided, pool.map(exchange, one_sided), strict=True):
                exchanged[number] = image
                advance(note="to and from the store")
        return exchanged

    def _fetched(self, job: Job) -> FinishedImage | None:
        """The store's copy, now in the folder; None where it is torn or another's."""
        try:
            line, _, content = storage.read_bytes(self._entry(job)).partition(b"\n")
            record = codec.parsed(line, self._entry(job))
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(record, dict):
            return None
        self._keep_here(job, line, content)
        return self.image(job)

    def _put(self, job: Job) -> None:
        """Copy an image of the folder to the store with the record that tells of which source it was made."""
        with storage.named(self.folder):
            record, content = ((self.folder / f"{job.spec.image_id}{kind}").read_bytes() for kind in (".json", ".png"))
        storage.write_bytes(self._entry(job), record + b"\n" + content)

    def _entries(self, jobs: Iterable[Job]) -> set[str]:
        """Address of every image that the store has of the jobs' sources."""
        folders = {self._source_folder(job) for job in jobs}
        return {storage.join(folder, name) for folder in folders for name in storage.list_files(folder)}

    def _entry(self, job: Job) -> str:
        return storage.join(self._source_folder(job), digest([job.spec.image_id, job.stamp]))

    def _source_folder(self, job: Job) -> str:
        return storage.join(self.store, digest(_address(job)))


def _address(job: Job) -> str:
    """Where the files are, for every machine: a path means the same only on one, and so is named with it."""
    return job.root.rstrip("/") if storage.is_remote(job.root) else f"file://{platform.node()}{job.root}"


def _conversion(record: object) -> Conversion | None:
    """What a record says of its image; None for one that is torn."""
    row = record.get("row") if isinstance(record, dict) else None
    if not isinstance(row, dict):
        return None
    try:
        # an earlier version also wrote what the labels said
        return codec.decode(Conversion, {field.name: row[field.name] for field in fields(Conversion)})
    except (KeyError, ValueError):
        return None


def sweep(work: Path) -> None:
    """Remove the unfinished files below a work folder whose writers were killed: they may show or name a patient."""
    for part in work.glob(f"*/.*{PART}"):
        lock.remove_abandoned(part)


def _keep(path: Path, content: bytes) -> None:
    """Write a file of the work folder whole, without waiting for the disk: ``image`` looks whether it got there.

    Until then its name tells nothing, and it is locked, so that ``sweep`` knows whether somebody still writes it.
    """
    part = path.with_name(f".{secrets.token_hex(8)}{PART}")
    with storage.named(path.parent):  # "No space left on device" alone does not say where
        descriptor = lock.taken(part)
        assert descriptor is not None  # nobody else has thought of that name
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
