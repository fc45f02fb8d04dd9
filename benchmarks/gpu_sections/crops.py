"""Real malignant crops, as a trial is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mammogan import storage

MANIFEST = "manifest.csv"


def read_malignant(folder: Path, size: int) -> Tensor:
    """All malignant crops, uint8 (N, 1, size, size), in the order of ``manifest.csv`` (columns file, pathology).

    Raises ValueError where there is none or one cannot be read.
    """
    manifest = pd.read_csv(folder / MANIFEST)
    names = manifest[manifest["pathology"] == "MALIGNANT"]["file"]
    if not len(names):
        raise ValueError(f"--crops={str(folder)!r}: no row of {MANIFEST} has the pathology MALIGNANT; give other crops")
    return torch.from_numpy(np.stack([_pixels(storage.inside(folder, name), size) for name in names]))[:, None]


def _pixels(path: Path, size: int) -> np.ndarray:
    try:
        with Image.open(path) as crop:
            return np.asarray(crop.convert("L").resize((size, size), Image.Resampling.BICUBIC))
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}; remove or replace it") from error
