"""Manifest, digest and summary of a filled data set, written row by row so that 100,000 rows need no more memory."""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import IO

from mammogan import storage
from mammogan.data import manifest, split, summary
from mammogan.data.cells import shielded
from mammogan.data.dataset import Dataset
from mammogan.data.summary import AND, Counts, Leak, Sides, Summary, SyntheticPart
from mammogan.synthesis.stream import Stream, put

Row = dict[str, str | int]
"""A row of the manifest."""


def publish(stream: Stream, label: int, dataset: Dataset | None, about: SyntheticPart) -> Summary:
    """Copy the real images beside the synthetic ones; write the manifest and, last, the summary; return it.

    The images of ``dataset`` are the real ones; ``about`` becomes the summary's part ``synthetic``. Raises ValueError
    for a data set that already holds images of this model and seed.
    """
    real = _copied(stream, dataset) if dataset is not None else []
    rows = heapq.merge(real, _synthetic_rows(stream, label), key=itemgetter("image_id"))
    data_digest = _write_manifest(rows, storage.join(stream.root, manifest.FILE))
    filled = _summary(dataset, label, about, data_digest)
    summary.write(filled, stream.root)
    return filled


def _copied(stream: Stream, dataset: Dataset) -> list[Row]:
    """Manifest rows of the real images, which are copied beside the synthetic ones."""
    rows = dataset.frame.to_dict("records")
    if any(row["image_id"].startswith(f"{stream.series}-") for row in rows):
        seed = stream.settings.seed
        raise ValueError(f"synthesise.seed={seed}: {dataset.root} already holds its images; choose another")
    for row in rows:
        put(storage.join(stream.root, row["file"]), storage.inside(dataset.root, row["file"]).read_bytes())
    return rows


def _synthetic_rows(stream: Stream, label: int) -> Iterator[Row]:
    """Manifest rows of the images that the stream's records hold, in the order of ``image_id``."""
    side = stream.model.generator.size
    for chunk in stream.recorded():
        for index, sha256 in chunk.kept:
            image_id = stream.image_id(index)
            yield {
                "image_id": image_id,
                "file": f"images/{image_id}.png",
                "label": label,
                "pathology": manifest.CLASSES[label].upper(),
                "patient_id": image_id,
                "laterality": "",
                "view": "",
                "abnormality": "",
                "subset": manifest.SYNTHETIC,
                "split": "train",
                "source": manifest.SYNTHETIC,
                "source_uid": f"{stream.model.version}/seed={stream.settings.seed}/index={index}",
                "source_sha256": stream.model.sha256,
                "sha256": sha256,
                "original_rows": side,
                "original_cols": side,
                "density": "",
                "subtlety": "",
            }


def _write_manifest(rows: Iterable[Row], uri: str) -> str:
    """Write ``manifest.csv`` of rows sorted by ``image_id``; returns what ``manifest.data_digest`` gives for them."""
    content = hashlib.sha256(b"[")
    separator = b""
    first: dict[str, str] = {}
    with _written(uri) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        table = csv.DictWriter(text, manifest.COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({name: shielded(str(row[name])) for name in manifest.COLUMNS})
            image_id, patient = str(row["image_id"]), str(row["patient_id"])
            of_patient = image_id if patient == image_id else first.setdefault(patient, image_id)
            digested = [*(str(row[name]) for name in manifest.DIGESTED), of_patient]
            content.update(separator + json.dumps(digested, separators=(",", ":")).encode())
            separator = b","
        text.detach()
    content.update(b"]")
    return content.hexdigest()


@contextmanager
def _written(uri: str) -> Generator[IO[bytes]]:
    """Binary file that stands at ``uri``, local or s3://, when the block ends well."""
    if storage.is_remote(uri):
        buffer = io.BytesIO()
        yield buffer
        storage.write_bytes(uri, buffer.getvalue())
    else:
        with storage.atomic_file(Path(uri)) as file:
            yield file


def _summary(dataset: Dataset | None, label: int, about: SyntheticPart, data_digest: str) -> Summary:
    """What ingest says of the real images, its counts raised by the synthetic ones, who are no patients."""
    nothing = Counts(images=0, benign=0, malignant=0, patients=0)
    counts, sides, before = nothing, Sides(nothing, nothing, Leak(0, 0)), None
    if dataset is not None:
        before = summary.read(dataset.root).whole
        counts, sides = split.count(dataset.frame), split.describe(dataset.frame, given=before.splits.given)
    added = {name: about.images * (number == label) for number, name in enumerate(manifest.CLASSES)}
    return Summary(
        **vars(counts.with_synthetic(**added)),
        source=f"{before.source}{AND}{manifest.SYNTHETIC}" if before else manifest.SYNTHETIC,
        subset=before.subset if before else manifest.SYNTHETIC,
        splits=replace(sides, train=sides.train.with_synthetic(**added)),
        data_digest=data_digest,
        mixed_labels=before.mixed_labels if before else 0,
        quarantined=before.quarantined if before else 0,
        settings=before.settings if before else None,
        synthetic=about,
        burned_in=before.burned_in if before else (),
    )
