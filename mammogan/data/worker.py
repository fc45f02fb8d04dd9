"""One image from its source file to its place in the work folder: read, decode, square, save.

This is what the worker processes run, so it imports neither pandas nor torch. A finished image is a PNG and a JSON
record beside it, which is written last: a record that stands is an image that is done.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import dicom, picture
from mammogan.data.preprocess import square
from mammogan.data.quarantine import Bad, BadImageError
from mammogan.data.sources import Job

MASK_VALUES = 2
"""Distinct grey values of a mask at most; a crop has hundreds."""


@dataclass(frozen=True)
class Read:
    """One source file in memory."""

    name: str
    sha256: str
    pixels: np.ndarray


def finished(job: Job, folder: Path) -> dict[str, Any] | None:
    """Record of an image that an earlier attempt finished from the same source files, else None."""
    path = folder / f"{job.wanted.image_id}.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text())
    return record["row"] if record["stamp"] == _stamp(job) else None


def finish(job: Job, config: DataConfig, folder: Path) -> dict[str, Any] | Bad:
    """Make one image in ``folder`` and return its manifest row without the split, or say why it cannot be made."""
    try:
        source = _choose(job)
        content = picture.encode_png(square(source.pixels, config))
    except BadImageError as error:
        return Bad(job.wanted.image_id, ";".join(job.files), error.reason, error.mend)
    except FileNotFoundError:
        return Bad(job.wanted.image_id, ";".join(job.files), "the file is missing", "download it again")
    row = _row(job, source, hashlib.sha256(content).hexdigest())
    storage.write_bytes(str(folder / f"{job.wanted.image_id}.png"), content)
    record = json.dumps({"stamp": _stamp(job), "row": row}, sort_keys=True)
    storage.write_bytes(str(folder / f"{job.wanted.image_id}.json"), record.encode())
    return row


def decode(content: bytes) -> np.ndarray:
    """Pixels (rows, columns) of a DICOM file or a picture. Raises BadImageError and nothing else."""
    if not content:
        raise BadImageError("the file is empty", "download it again")
    return dicom.decode(content) if dicom.is_dicom(content) else picture.decode(content)


def _choose(job: Job) -> Read:
    """The one file of a job that holds the wanted image: a crop's mask is told by its two grey values."""
    read = [_read(job, name) for name in job.files]
    if job.wanted.content == "crop":
        read = [each for each in read if np.unique(each.pixels).size > MASK_VALUES]
    distinct = {each.sha256: each for each in reversed(read)}
    if len(distinct) != 1:
        raise BadImageError(f"{len(distinct)} files could be the image", "keep the one file of the series")
    return next(iter(distinct.values()))


def _read(job: Job, name: str) -> Read:
    content = storage.read_bytes(storage.join(job.root, name))
    return Read(name, hashlib.sha256(content).hexdigest(), decode(content))


def _stamp(job: Job) -> str:
    """Changes when the source files do: their names, sizes and times."""
    stats = [Path(job.root, name).stat() for name in job.files if Path(job.root, name).is_file()]
    return ";".join([*job.files, *(f"{stat.st_size},{stat.st_mtime_ns}" for stat in stats)])


def _row(job: Job, source: Read, sha256: str) -> dict[str, Any]:
    known = asdict(job.wanted)
    rows, columns = source.pixels.shape
    return {
        **{name: known[name] for name in ("image_id", "label", "pathology", "patient_id", "laterality", "view")},
        "file": f"images/{job.wanted.image_id}.png",
        "abnormality": job.wanted.abnormality,
        "subset": job.wanted.subset,
        "source": source.name,
        "source_uid": job.wanted.series_uids[0] if job.wanted.series_uids else "",
        "source_sha256": source.sha256,
        "sha256": sha256,
        "original_rows": rows,
        "original_cols": columns,
    }
