"""A data set read again with fresh eyes: hashes, sizes, labels, the split, and images that look alike across it.

The perceptual hash of an image is where a 17x16 reduction of it grows brighter to the right (a difference hash): 256
bits that survive rescaling, compression and small changes of contrast. Two images are near duplicates when at most
``NEAR_BITS`` differ.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from mammogan import console, storage
from mammogan.data import cbis_ddsm, manifest, picture, resample, split, summary
from mammogan.data.cells import readable
from mammogan.data.dataset import Dataset
from mammogan.results import Role

HASH_SIDE = 16
NOISE = 1.0
"""Grey levels by which a neighbour must be brighter, so that a black background gives the same bits every time."""
NEAR_BITS = 12
"""JPEG at quality 80, half the size or a tenth less contrast change at most 6 bits of a real or phantom image; of 1012
real crops no two differ in less than 37, of the real full mammograms no two in less than 28."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong with a data set."""

    what: str
    """Image or file that it concerns."""
    problem: str


def verify(folder: Path) -> list[Finding]:
    """Everything that is wrong with the data set at ``folder``, sorted; an empty list is a sound data set.

    Raises FileNotFoundError and ValueError where the manifest itself cannot be used, as ``Dataset.read`` does.
    """
    dataset = Dataset.read(folder)
    findings, hashes, sizes = [], [], set()
    with console.progress("verify", len(dataset), unit="images") as advance:
        for row in dataset.frame.to_dict("records"):
            problems, pixels = _check_image(folder, row)
            findings += [Finding(row["image_id"], problem) for problem in problems]
            hashes.append(difference_hash(pixels))
            sizes.add(pixels.shape)
            advance()
    if len(sizes) > 1:
        findings.append(Finding(manifest.FILE, f"images of {len(sizes)} sizes: {sorted(sizes)}"))
    findings += _check_split(dataset) + _near_duplicates(dataset, np.stack(hashes)) + _strays(dataset)
    return sorted(findings)


def difference_hash(pixels: np.ndarray) -> np.ndarray:
    """(256,) bool: where a coarse copy of (rows, columns) uint8 pixels grows brighter to the right."""
    coarse = resample.resize(pixels, HASH_SIDE, HASH_SIDE + 1)
    return (coarse[:, 1:] > coarse[:, :-1] + NOISE).ravel()


def _check_image(folder: Path, row: dict[str, object]) -> tuple[list[str], np.ndarray]:
    """Problems of one image, and its pixels; an unreadable one has a black pixel's."""
    content = (folder / str(row["file"])).read_bytes()
    problems = []
    if hashlib.sha256(content).hexdigest() != row["sha256"]:
        problems.append("the file is not the one that was ingested: its sha256 differs")
    if row["pathology"] not in cbis_ddsm.PATHOLOGIES:
        problems.append(f"unknown pathology {row['pathology']!r}")
    elif cbis_ddsm.label_of(str(row["pathology"])) != row["label"]:
        problems.append(f"label {row['label']} does not fit pathology {row['pathology']}")
    try:
        image = picture.open_image(content)
        pixels = np.asarray(image.convert("L"))
    except Exception as error:  # Pillow raises whatever the broken bytes lead it to
        return [*problems, f"unreadable picture ({type(error).__name__})"], np.zeros((1, 1), np.uint8)
    if image.mode != "L" or pixels.shape[0] != pixels.shape[1]:
        problems.append(f"{image.mode} {pixels.shape[0]}x{pixels.shape[1]}, not an 8-bit grey square")
    if pixels.min() == pixels.max():
        problems.append("constant image")
    return problems, pixels


def _check_split(dataset: Dataset) -> list[Finding]:
    """Problems of the split and of the summary; a leak is one only where the split promised that there is none."""
    try:
        recorded = summary.read(dataset.root)
    except ValueError as error:
        return [Finding(summary.FILE, str(error))]
    findings = []
    if recorded.data_digest != dataset.digest:
        findings.append(
            Finding(
                summary.FILE,
                "its data_digest is not the manifest's; ingest again, also where an earlier version made it",
            )
        )
    settings, shared = recorded.whole.settings, split.leak(dataset.frame).patients
    if shared and settings and settings.split == "patient":
        findings.append(Finding(manifest.FILE, f"{shared} patients are in train and in test"))
    return findings


def _near_duplicates(dataset: Dataset, hashes: np.ndarray) -> list[Finding]:
    """Pairs of images of two splits, of different patients or not, that look the same."""
    places = {role: np.flatnonzero(dataset.frame["split"] == role) for role in Role}
    image_ids = dataset.image_ids
    signs = 2.0 * hashes.astype(np.float32) - 1
    bits = hashes.shape[1]
    findings = []
    for role, known in combinations((Role.TEST, Role.VALIDATION, Role.TRAIN), 2):
        for index in places[role]:
            distance = (bits - signs[places[known]] @ signs[index]) / 2
            for other in places[known][distance <= NEAR_BITS]:
                findings.append(Finding(image_ids[index], f"looks like the {known} image {image_ids[other]}"))
    return findings


def _strays(dataset: Dataset) -> list[Finding]:
    """What stands among the images that no row asks for, and what is no regular file there, asked for or not."""
    known = set(dataset.files)
    findings = []
    for path in (dataset.root / "images", *(dataset.root / "images").rglob("*")):
        name, kind = path.relative_to(dataset.root).as_posix(), storage.unusual(path)
        if kind == storage.FOLDER:
            continue
        if kind:
            findings.append(Finding(readable(name), f"{kind}, no regular file"))
        elif name not in known:
            findings.append(Finding(readable(name), "the manifest does not know this file"))
    return findings
