"""From a decoded mammogram to the 8-bit square that the networks see.

The grey values are resized in floating point by Pillow's bicubic filter, whose support grows with the reduction
(antialias), then mapped to 0..255 and rounded once, so nothing is quantised in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from mammogan.config import DataConfig

SMALLEST = 16
"""Side in pixels below which a source image is taken for broken."""
PERCENTILES = (0.5, 99.5)


def square(pixels: np.ndarray, config: DataConfig) -> np.ndarray:
    """(size, size) uint8 from (rows, columns) uint8, uint16 or float32; raises BadImageError for an unusable image."""
    if min(pixels.shape) < SMALLEST:
        raise BadImageError(f"only {pixels.shape[0]}x{pixels.shape[1]} pixels", "give the whole image")
    low, high = value_range(pixels, config.intensity)
    resized = resize(pixels, config.size, config.fit)
    scaled = (resized - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def value_range(pixels: np.ndarray, intensity: str) -> tuple[float, float]:
    """Source values that become 0 and 255. Raises BadImageError where they are equal or not finite."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise BadImageError("pixels that are NaN or infinite", "export the image again")
    if intensity == "percentile":
        low, high = (float(value) for value in np.percentile(pixels, PERCENTILES))
    if low >= high:
        raise BadImageError(f"constant image of value {low:g}", "download the file again")
    return low, high


def resize(pixels: np.ndarray, size: int, fit: str) -> np.ndarray:
    """(size, size) float32: stretched, or the longer side fitted and the rest filled with the darkest value."""
    image = Image.fromarray(pixels.astype(np.float32))
    if fit == "stretch":
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    rows, columns = pixels.shape
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    small = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    canvas = np.full((size, size), pixels.min(), dtype=np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas
