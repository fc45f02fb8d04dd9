"""Sample grids: the same z for every snapshot and every trial, so that grids can be compared."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from mammogan import storage
from mammogan.models.generator import Generator, sample

GRID_SEED = 0
COLUMNS = 8
ROWS = 4
GAP = 2


def save_grid(generator: Generator, path: Path) -> None:
    """Write a PNG of 8x4 samples, atomically."""
    images = sample(generator, COLUMNS * ROWS, GRID_SEED)
    buffer = io.BytesIO()
    Image.fromarray(tile(images, COLUMNS).numpy()).save(buffer, format="PNG")
    storage.write_bytes(str(path), buffer.getvalue())


def tile(images: Tensor, columns: int) -> Tensor:
    """One picture, uint8 (rows * (H + 2) - 2, columns * (W + 2) - 2), of images (N, 1, H, W), white between them."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    picture = images.new_full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255)
    for i, image in enumerate(images[:, 0]):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        picture[top : top + height, left : left + width] = image
    return picture
