"""Finished images: kept in the work folder of this machine and, where there is a store, in that for the next one.

In the folder an image is a PNG and a JSON record beside it, written last: a record that stands is an image that is
done. In the store it is one object, the record in the first line and the PNG behind it, below a name made of the
source's address and the stamps of its files. An image from the store goes through the folder and its check like one of
an earlier attempt; what is torn, or belongs to another source or to files that have changed, is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammogan import console, patience, storage
from mammogan.config import digest
from mammogan.data.sources import Job

STORE_THREADS = 16
"""Images on their way to or from the store at a time, before the first one is made."""
MADE = ("source", "source_sha256", "sha256", "original_rows", "original_cols", "copies")
"""What a row holds of the image itself; the labels' part is taken from the job."""

Row = dict[str, Any]
"""A manifest row without its split, and the names of the ``copies`` of its source file."""


@dataclass(frozen=True)
class Finished:
    """The images of one choice of pixel settings."""

    folder: Path
    """Work folder of this machine."""
    store: str = ""
    """Address of the copies that outlive it; empty where there are none."""

    def found(self, jobs: Sequence[Job]) -> tuple[list[Row], list[Job]]:
        """Rows of the images that are finished, here or in the store, and the jobs that are left.

        What only one of the two places had is copied to the other. Raises OSError where the store cannot be used.
        """
        rows = [self.row(job) for job in jobs]
        if self.store:
            rows = self._exchanged(jobs, rows)
        return [row for row in rows if row], [job for job, row in zip(jobs, rows, strict=True) if not row]

    def row(self, job: Job) -> Row | None:
        """Row of an image that was finished in the folder from the same source files, else None."""
        try:
            record = json.loads((self.folder / f"{job.wanted.image_id}.json").read_bytes())
            content = (self.folder / f"{job.wanted.image_id}.png").read_bytes()
        except (FileNotFoundError, ValueError):  # ValueError: the machine went down before the record was on its disk
            return None
        if not _is_whole(record, content) or record.get("stamp") != job.stamp:
            return None
        return {**record["row"], **known(job)}

    def keep(self, job: Job, row: Row, content: bytes) -> None:
        """Keep an image in the folder and then in the store. Raises OSError; what the folder has got stays there."""
        record = json.dumps({"address": _address(job), "stamp": job.stamp, "row": row}, sort_keys=True).encode()
        self._keep_here(job, record, content)
        if self.store:
            storage.write_bytes(self._entry(job), record + b"\n" + content)

    def _keep_here(self, job: Job, record: bytes, content: bytes) -> None:
        _keep(self.folder / f"{job.wanted.image_id}.png", content)
        _keep(self.folder / f"{job.wanted.image_id}.json", record)

    def _exchanged(self, jobs: Sequence[Job], rows: Sequence[Row | None]) -> list[Row | None]:
        """The rows and those that the store adds; the store gets what it lacks."""
        there = self._entries(jobs)
        places = [(row is not None, self._entry(job) in there) for job, row in zip(jobs, rows, strict=True)]
        one_sided = [number for number, (here, stored) in enumerate(places) if here != stored]
        if not one_sided:
            return list(rows)

        def exchange(number: int) -> Row | None:
            job, row = jobs[number], rows[number]
            if row is None:
                return self._fetched(job)
            self._put(job)
            return row

        found = list(rows)
        threads = min(STORE_THREADS, len(one_sided))
        with console.progress("finished images", len(one_sided)) as advance, patience.threads(threads) as pool:
            for number, row in zip(one_sided, pool.map(exchange, one_sided), strict=True):
                found[number] = row
                advance(note="to and from the store")
        return found

    def _fetched(self, job: Job) -> Row | None:
        """Row of the store's copy, now in the folder; None where it is torn or another's."""
        try:
            line, _, content = storage.read_bytes(self._entry(job)).partition(b"\n")
            record = json.loads(line)
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("address") != _address(job):
            return None
        self._keep_here(job, line, content)
        return self.row(job)

    def _put(self, job: Job) -> None:
        """Copy an image of the folder to the store with the record that tells of which source it was made."""
        record, content = ((self.folder / f"{job.wanted.image_id}{kind}").read_bytes() for kind in (".json", ".png"))
        storage.write_bytes(self._entry(job), record + b"\n" + content)

    def _entries(self, jobs: Iterable[Job]) -> set[str]:
        """Address of every image that the store has of the jobs' sources."""
        folders = {self._source_folder(job) for job in jobs}
        return {storage.join(folder, name) for folder in folders for name in storage.list_files(folder)}

    def _entry(self, job: Job) -> str:
        return storage.join(self._source_folder(job), digest([job.wanted.image_id, job.stamp]))

    def _source_folder(self, job: Job) -> str:
        return storage.join(self.store, digest(_address(job)))


def known(job: Job) -> Row:
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


def _address(job: Job) -> str:
    """Where the files are, for every machine: a path means the same only on one, and so is named with it."""
    return (
        job.root.rstrip("/") if storage.is_remote(job.root) else f"file://{platform.node()}{Path(job.root).resolve()}"
    )


def _is_whole(record: object, content: bytes) -> bool:
    row = record.get("row") if isinstance(record, dict) else None
    if not isinstance(row, dict) or any(name not in row for name in MADE):
        return False
    return row["sha256"] == hashlib.sha256(content).hexdigest()


def _keep(path: Path, content: bytes) -> None:
    """Write a file of the work folder whole, without waiting for the disk: ``row`` looks whether it got there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
