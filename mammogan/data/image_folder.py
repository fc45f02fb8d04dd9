"""A plain folder of pictures, without a manifest, read as one tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

MODES = ("L", "RGB", "P", "RGBA", "LA")
"""Pillow's modes of 8-bit images."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_images(folder: Path) -> Tensor:
    """All images below ``folder``, sorted by path: uint8 (N, 1, H, W).

    Raises ValueError for a folder without images, a file that is no 8-bit image, colour, transparency, or sizes that
    differ.
    """
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r}: there is no such folder")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"folder={str(folder)!r}: it holds no images ({', '.join(SUFFIXES)})")
    first = _read_grey(files[0])
    images = np.empty((len(files), 1, *first.shape), dtype=np.uint8)
    for row, path in zip(images, files, strict=True):
        grey = _read_grey(path)
        if grey.shape != first.shape:
            raise ValueError(f"{path} is {_size(grey)}, {files[0].name} is {_size(first)}: bring all to one size")
        row[0] = grey
    return torch.from_numpy(images)


def _size(grey: np.ndarray) -> str:
    return f"{grey.shape[1]}x{grey.shape[0]}"


def _read_grey(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            mode = image.mode
            # a palette or a grey value may be declared transparent, which only this conversion brings to light
            marked = mode in MODES and image.has_transparency_data
            clear = marked and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
            pixels = np.asarray(image.convert("RGB") if mode in ("P", "RGBA", "LA") else image)
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}; remove or replace it") from error
    if mode not in MODES:
        raise ValueError(f"{path} has mode {mode}: save it as 8-bit grey")
    if clear:
        raise ValueError(f"{path} is transparent in places: lay it on its background and save it as 8-bit grey")
    if pixels.ndim == 3:
        if (pixels != pixels[..., :1]).any():
            raise ValueError(f"{path} is in colour: save it as 8-bit grey")
        pixels = pixels[..., 0]
    return pixels
