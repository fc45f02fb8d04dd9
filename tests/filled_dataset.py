"""A small data set with more benign than malignant images, and a small generator to fill it up."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mammogan import storage
from mammogan.config import DataConfig
from mammogan.data import manifest, split, summary
from mammogan.data.summary import Summary
from mammogan.models.generator import Generator, save_snapshot
from mammogan.synthesis import load_model

SIDE = 28


def draw(rng, label):
    """(28, 28) uint8: a smooth background, with a bright blob where the label is 1."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = sum(
        rng.normal() * np.cos(2 * np.pi * (i * x + j * y) + rng.uniform(0, 6)) for i in range(3) for j in range(3)
    )
    blob = label * 3 * np.exp(-(((x - rng.uniform(0.3, 0.7)) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2) / 0.02))
    return (110 + 18 * waves + 22 * blob).clip(0, 255).astype(np.uint8)


def write_dataset(folder, counts, seed=0, picture=draw):
    """Data set with ``counts[side] = (benign, malignant)`` images by ``picture(rng, label)``, one patient each."""
    rng, rows = np.random.default_rng(seed), []
    for side, numbers in counts.items():
        for label, number in enumerate(numbers):
            for index in range(number):
                image_id = f"P_{side}_{label}_{index:03d}"
                (folder / "images").mkdir(parents=True, exist_ok=True)
                path = folder / "images" / f"{image_id}.png"
                Image.fromarray(picture(rng, label)).save(path)
                rows.append(
                    {
                        "image_id": image_id, "file": f"images/{image_id}.png", "label": label,
                        "pathology": manifest.CLASSES[label].upper(), "patient_id": f"patient {image_id}",
                        "laterality": "LEFT", "view": "CC", "abnormality": "mass", "subset": "mass-train",
                        "split": side, "source": f"{image_id}.dcm", "source_uid": "1.2", "source_sha256": "0" * 64,
                        "sha256": storage.sha256_of(path), "original_rows": 300, "original_cols": 200,
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    manifest.write(frame, folder)
    write_summary(frame, folder)
    return folder


def write_summary(frame, folder):
    """``summary.json`` of a manifest's rows."""
    content = Summary(
        **vars(split.count(frame)), source="images", subset="mass-train", splits=split.describe(frame, given=False),
        data_digest=manifest.data_digest(frame), settings=DataConfig(split="patient"),
    )  # fmt: skip
    summary.write(content, str(folder))


@pytest.fixture(scope="session", name="write_dataset")
def _write_dataset():
    return write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), {"train": (30, 12), "test": (10, 6)})


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    """Generator whose images are not flat: its last layer is scaled up."""
    torch.manual_seed(0)
    generator = Generator(SIDE, 16, 16)
    generator.last.weight.data *= 30
    path = tmp_path_factory.mktemp("model") / "epoch_0004.pt"
    save_snapshot(generator, 4, path)
    return path


@pytest.fixture(scope="session")
def model(snapshot):
    return load_model(snapshot, "mammogan-v3")
