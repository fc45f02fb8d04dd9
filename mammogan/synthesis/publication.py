"""Manifest, digest and summary of a filled data set, written row by row so that 100,000 rows need no more memory."""

from __future__ import annotations

import csv
import hashlib
import heapq
import io
import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

from mammogan import storage
from mammogan.data import manifest, split
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import SUMMARY, read_summary
from mammogan.synthesis.stream import Stream, put

Row = dict[str, Any]


def publish(stream: Stream, made: int, label: int, dataset: Dataset | None, about: dict[str, Any]) -> dict[str, Any]:
    """Copy the real images beside the ``made`` synthetic ones; write the manifest and, last, the summary; return it.

    The images of ``dataset`` are the real ones; ``about`` becomes the summary's part ``synthetic``. Raises ValueError
    for a data set that already holds images of this model and seed.
    """
    real = _copied(stream, dataset) if dataset is not None else []
    rows = heapq.merge(real, synthetic_rows(stream, label), key=itemgetter("image_id"))
    data_digest = _write_manifest(rows, storage.join(stream.root, manifest.FILE))
    summary = _summary(dataset, made, label) | {"data_digest": data_digest, "synthetic": about}
    storage.write_bytes(storage.join(stream.root, SUMMARY), (json.dumps(summary, indent=2) + "\n").encode())
    return summary


def _copied(stream: Stream, dataset: Dataset) -> list[Row]:
    """Manifest rows of the real images, which are copied beside the synthetic ones."""
    rows = dataset.frame.to_dict("records")
    if any(row["image_id"].startswith(f"{stream.series}-") for row in rows):
        seed = stream.settings.seed
        raise ValueError(f"synthesise.seed={seed}: {dataset.root} already holds its images; choose another")
    for row in rows:
        put(storage.join(stream.root, row["file"]), storage.inside(dataset.root, row["file"]).read_bytes())
    return rows


def synthetic_rows(stream: Stream, label: int) -> Iterator[Row]:
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
            }


def _write_manifest(rows: Iterable[Row], uri: str) -> str:
    """Write ``manifest.csv`` of rows sorted by ``image_id``; returns what ``manifest.data_digest`` gives for them."""
    content = hashlib.sha256(b"[")
    separator = b""
    with _written(uri) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        table = csv.DictWriter(text, manifest.COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow(row)
            digested = [str(row[name]) for name in manifest.DIGESTED]
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


def _summary(dataset: Dataset | None, made: int, label: int) -> dict[str, Any]:
    """What ingest says of the real images, its counts raised by the synthetic ones, who are no patients."""
    nothing = {"images": 0, "benign": 0, "malignant": 0, "patients": 0}
    base: dict[str, Any] = {"source": manifest.SYNTHETIC, "subset": manifest.SYNTHETIC, **nothing}
    sides: dict[str, Any] = {"train": {**nothing}, "test": {**nothing}, "leak": {"patients": 0, "test_images": 0}}
    if dataset is not None:
        base = {**read_summary(dataset.root), **split.count(dataset.frame)}
        base["source"] = f"{base.get('source', 'unknown')} and {manifest.SYNTHETIC}"
        sides = split.describe(dataset.frame)
    for counts in (base, sides["train"]):
        counts["images"] += made
        counts[manifest.CLASSES[label]] += made
    return {**base, "splits": sides}
