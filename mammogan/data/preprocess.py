"""From a decoded mammogram to the 8-bit square that the networks see.

The grey values are resized in floating point (``resample``), then mapped to 0..255 and rounded once, so nothing is
quantised in between. Cutting to the breast and turning it are options; each is recorded with the settings. Padding,
which a masked array (numpy.ma) marks, is no part of the image: it takes no part in the range of grey values, and is as
dark as the darkest pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mammogan.data import resample
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from mammogan.config import DataConfig

SMALLEST = 16
"""Side in pixels below which a source image is taken for broken."""
PERCENTILES = (0.5, 99.5)
PERCENTILE_SIDE = 512
"""Percentiles are taken over a regular grid of at least this many rows and columns, a tenth of the work for all."""
COARSE_SIDE = 256
"""The breast is looked for on a coarse grid of about this many columns: it is large, and labels are not."""


def square(pixels: np.ndarray, config: DataConfig) -> np.ndarray:
    """(size, size) uint8 from (rows, columns) of uint8, uint16 or a float type, masked where padded.

    Raises BadImageError for an unusable image.
    """
    if min(pixels.shape) < SMALLEST:
        raise BadImageError(f"only {pixels.shape[0]}x{pixels.shape[1]} pixels", "give the whole image")
    if config.region == "breast":
        value_range(pixels, "minmax")
        pixels = breast(pixels)
    if config.orientation == "left":
        pixels = chest_wall_left(pixels)
    low, high = value_range(pixels, config.intensity)
    pixels = np.ma.getdata(pixels)
    if pixels.dtype == np.float64:  # float32 would lose the differences of large values
        pixels, low, high = _relative(pixels, low, high), 0.0, 1.0
    resized = fitted(pixels, config.size) if config.fit == "pad" else resample.resize(pixels, config.size, config.size)
    with np.errstate(over="ignore", invalid="ignore"):  # grey values near the end of float32: clipped, not warned of
        scaled = (resized - np.float32(low)) * np.float32(255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def value_range(pixels: np.ndarray, intensity: str) -> tuple[float, float]:
    """Source values that become 0 and 255. Raises BadImageError where they are equal or not finite."""
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise BadImageError("pixels that are NaN or infinite", "export the image again")
    if intensity == "percentile":
        step = max(1, min(pixels.shape) // PERCENTILE_SIDE)
        image = np.ma.compressed(pixels[::step, ::step]) if np.ma.isMaskedArray(pixels) else pixels[::step, ::step]
        lowest, highest = low, high
        low, high = (float(value) for value in np.percentile(image, PERCENTILES)) if image.size else (low, low)
        if low >= high and lowest < highest:
            raise BadImageError(f"nearly all pixels have the value {low:g}", "use data.intensity=minmax")
    if low >= high:
        raise BadImageError(f"constant image of value {low:g}", "download the file again")
    return low, high


def fitted(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32: the longer side fitted, the rest filled with the darkest value on both sides."""
    rows, columns = pixels.shape
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    canvas = np.full((size, size), pixels.min(), dtype=np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = resample.resize(pixels, height, width)
    return canvas


def breast(pixels: np.ndarray) -> np.ndarray:
    """The bounding box of the breast, all outside it black: no borders, no burnt-in labels.

    The breast is the largest connected part brighter than Otsu's threshold of a coarse copy (Otsu 1979, IEEE Trans.
    SMC 9(1)), opened first so that a border or label that touches it comes off. Raises BadImageError where there is
    none.
    """
    from scipy import ndimage

    step = max(1, min(pixels.shape) // COARSE_SIDE)
    coarse = np.ma.getdata(pixels)[::step, ::step]
    coarse = _relative(coarse, coarse.min(), coarse.max()) if coarse.dtype == np.float64 else coarse.astype(np.float32)
    bright = coarse > 0.5 * (otsu(coarse) + coarse.min())  # half way: the skin is much darker than the gland
    parts, count = ndimage.label(ndimage.binary_opening(bright, iterations=2))
    if count == 0:
        raise BadImageError("no breast stands out from the background", "use data.region=whole")
    sizes = np.bincount(parts.ravel())[1:]
    inside = ndimage.binary_dilation(parts == 1 + int(np.argmax(sizes)), iterations=2)
    inside = ndimage.binary_fill_holes(inside).repeat(step, axis=0).repeat(step, axis=1)
    inside = inside[: pixels.shape[0], : pixels.shape[1]]
    box = tuple(
        slice(int(indices[0]), int(indices[-1]) + 1) for indices in map(np.flatnonzero, (inside.any(1), inside.any(0)))
    )
    cut = np.where(inside[box], np.ma.getdata(pixels)[box], np.ma.getdata(pixels).min())
    return np.ma.MaskedArray(cut, np.ma.getmaskarray(pixels)[box]) if np.ma.isMaskedArray(pixels) else cut


def _relative(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """float32, 0 for ``low`` and 1 for ``high``, of float64, which is never copied as a whole."""
    relative = np.empty(pixels.shape, np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(pixels), resample.BLOCK_ROWS):
            block = slice(start, start + resample.BLOCK_ROWS)
            relative[block] = (pixels[block] - low) / ((high - low) or 1.0)
    return relative


def otsu(values: np.ndarray) -> float:
    """Threshold that separates the values into two classes of least variance within."""
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between))])


def chest_wall_left(pixels: np.ndarray) -> np.ndarray:
    """The image, mirrored if its right half is the brighter one: there the breast is cut off by the chest wall."""
    half = pixels.shape[1] // 2
    left, right = (float(side[::4, ::4].sum(dtype=np.float64)) for side in (pixels[:, :half], pixels[:, -half:]))
    return pixels[:, ::-1] if right > left else pixels
