"""Images of some rows of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mammogan import storage

if TYPE_CHECKING:
    import pandas as pd


def read_rows(dataset: Path, frame: pd.DataFrame) -> Tensor:
    """Images (N, 1, H, W), uint8, of the rows of a manifest; (0, 1, 0, 0) for none."""
    images = [np.asarray(Image.open(storage.inside(dataset, file)).convert("L")) for file in frame["file"]]
    return torch.from_numpy(np.stack(images))[:, None] if images else torch.empty(0, 1, 0, 0, dtype=torch.uint8)
