"""Whole folders: pictures broken, missing, linked, pipes and sockets among them, through ingest and into a data set."""

from __future__ import annotations

import csv
import os
import random
import socket
from pathlib import Path

import numpy as np
from cases import Kind, LossError
from dicom_cases import _write as write_dicom
from mutation import damaged
from picture_cases import _write as write_picture
from PIL import Image
from table_cases import _plain_rows

from mammogan.config import DataConfig
from mammogan.data import manifest
from mammogan.data.image_folder import read_images
from mammogan.data.ingest import ingest
from mammogan.data.verify import verify

CONFIG = DataConfig(size=28, max_bad=0.9, split="image", test_fraction=0.5)


def _write(rng: random.Random, folder: Path) -> None:
    rows = ["file,patient_id,pathology,split" if rng.random() < 0.2 else "file,patient_id,pathology"]
    for number in range(rng.randint(6, 12)):
        place = folder / str(number)
        place.mkdir()
        if rng.random() < 0.6:
            grey = np.random.default_rng(number).integers(0, 255, (40, 36), dtype=np.uint8)
            Image.fromarray(grey).save(place / "a.png")
        else:
            rng.choice((write_dicom, write_picture))(rng, place)
        (path,) = place.iterdir()
        if rng.random() < 0.1:
            _replace(rng, path)
        role = ",train" if rows[0].endswith("split") else ""
        rows.append(f"{number}/{path.name},P{number},{'MALIGNANT' if number % 2 else 'BENIGN'}{role}")
    content = "\n".join(rows).encode()
    (folder / "manifest.csv").write_bytes(damaged(rng, content) if rng.random() < 0.5 else content)


def _replace(rng: random.Random, path: Path) -> None:
    """Something else than a regular file of that name."""
    path.unlink()
    step = rng.random()
    if step < 0.3:
        os.mkfifo(path)
    elif step < 0.4:
        path.mkdir()
    elif step < 0.8:
        path.symlink_to(
            rng.choice(
                ("/dev/zero", "/dev/random", "/etc/passwd", "../../../../../etc/passwd", path.name, "..", "/dev/tty")
            )
        )
    elif step < 0.9:
        with socket.socket(socket.AF_UNIX) as place:
            here = os.getcwd()
            os.chdir(path.parent)  # an address has 107 bytes at most
            place.bind(path.name)
            os.chdir(here)


def _read_source(folder: Path, out: Path) -> None:
    before = {path: path.stat(follow_symlinks=False).st_mtime_ns for path in folder.rglob("*")}
    counts = ingest(str(folder), "", CONFIG, out / "set", workers=1)
    frame = manifest.read(out / "set")
    with (out / "set/quarantine.csv").open(newline="") as file:
        quarantined = list(csv.DictReader(file))
    expected = _plain_rows((folder / "manifest.csv").read_bytes())
    if expected is not None and expected > len(frame) + len(quarantined):
        raise LossError(f"{expected} rows in, {len(frame)} images and {len(quarantined)} rows of quarantine out")
    if counts.images != len(frame) or sum(path.is_file() for path in (out / "set/images").iterdir()) != len(frame):
        raise LossError(f"{counts.images} images are counted, {len(frame)} stand in the manifest")
    findings = [
        finding
        for finding in verify(out / "set")
        if "looks like" not in finding.problem and "constant" not in finding.problem
    ]
    if findings:
        raise LossError(f"verify finds {findings[0]}")
    if before != {path: path.stat(follow_symlinks=False).st_mtime_ns for path in folder.rglob("*")}:
        raise LossError("the source was changed")


def _read_folder(folder: Path, _out: Path) -> None:
    images = read_images(folder)
    if len(images) > sum(1 for path in folder.rglob("*") if path.is_file()):
        raise LossError(f"{len(images)} images of fewer files")


KINDS = (Kind("sources", _write, _read_source), Kind("folders", _write, _read_folder))
