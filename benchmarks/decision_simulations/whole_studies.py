"""Whole utility studies, ``study`` on small images and networks, where nothing helps and where true images do."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from decision_simulations.claims import Claim
from decision_simulations.setting import Setting
from decision_simulations.studies import BLOCKS, Study, help_claim
from mammogan import config, storage
from mammogan.data import manifest, picture
from mammogan.utility import study
from mammogan.utility.arms import REAL, SYNTHETIC

SIDE = 16
TRAIN, TEST = (40, 10), (40, 40)
FEWER = 40
"""A whole study is simulated once where others are so often: it takes 10 to 20 seconds."""


def simulate(setting: Setting) -> Iterator[Claim]:
    """Synthetic images are copies of training images, or new true ones."""
    torch.set_num_threads(1)
    for truth, useful, most in (("copies of training images", False, 0.05), ("new true images", True, math.inf)):
        studies = [whole_study([setting.seed, number], useful) for number in range(setting.repetitions // FEWER)]
        yield help_claim(
            f"whole studies of {SIDE} px, {sum(TEST)} test patients, synthetic ones are {truth}", studies, most=most
        )


def image(rng: np.random.Generator, label: int) -> np.ndarray:
    """(16, 16) uint8: noise, with a faint spot anywhere where the label is 1."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = label * 45 * np.exp(-((x - rng.uniform(4, 12)) ** 2 + (y - rng.uniform(4, 12)) ** 2) / 8)
    return (100 + rng.normal(0, 20, (SIDE, SIDE)) + spot).clip(0, 255).astype(np.uint8)


def write_dataset(folder: Path, rng: np.random.Generator) -> Tensor:
    """A data set of one image a patient; returns the malignant training images, uint8 (N, 1, 16, 16)."""
    rows, malignant = [], []
    (folder / "images").mkdir(parents=True)
    for side, counts in (("train", TRAIN), ("test", TEST)):
        for label in np.repeat([0, 1], counts):
            pixels, name = image(rng, label), f"{side}{len(rows):04d}"
            path = folder / "images" / f"{name}.png"
            path.write_bytes(picture.encode_png(pixels))
            rows.append({
                "image_id": name, "file": f"images/{name}.png", "label": label,
                "pathology": manifest.CLASSES[label].upper(), "patient_id": name, "laterality": "LEFT", "view": "CC",
                "abnormality": "mass", "subset": "simulated", "split": side, "source": name, "source_uid": "1.2",
                "source_sha256": "0" * 64, "sha256": storage.sha256_of(path), "original_rows": SIDE,
                "original_cols": SIDE,
            })  # fmt: skip
            if (side, label) == ("train", 1):
                malignant.append(pixels)
    manifest.write(pd.DataFrame(rows), folder)
    return torch.from_numpy(np.stack(malignant))[:, None]


def whole_study(seed: Sequence[int], useful: bool) -> Study:
    """A study of small networks: synthetic images are copies of training images, or new true ones."""
    rng = np.random.default_rng([19, *seed])
    settings = {
        "utility.shares": "1", "utility.batch_size": 16, "utility.steps": 120, "utility.check_every": 10,
        "utility.patience": 3, "utility.learning_rate": 3e-3, "utility.seeds": BLOCKS,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        malignant = write_dataset(Path(folder, "set"), rng)

        def draw(count: int, _: int) -> Tensor:
            if not useful:
                return malignant[torch.from_numpy(rng.integers(len(malignant), size=count))]
            return torch.from_numpy(np.stack([image(rng, 1) for _ in range(count)]))[:, None]

        fakes = draw(TRAIN[0] - TRAIN[1], 0)
        chosen = config.override(config.PRESETS["demo"], settings)
        result = study(Path(folder, "set"), chosen, Path(folder, "out"), fakes=fakes, label=1, draw=draw)
    aucs = {item.arm: item for item in result.measures if item.metric == "auc"}
    old = np.array(aucs[SYNTHETIC].by_seed) - np.array(aucs[REAL].by_seed)
    half = 2.776 * old.std(ddof=1) / math.sqrt(len(old))
    return Study(result.finding, result.smallest_effect or math.nan, bool(old.mean() - half > 0))
