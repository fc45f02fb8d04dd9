"""Sets of grey images as the metrics take them: uint8 tensors (N, 1, H, W), [0, 255], of one size."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

MODES = ("L", "RGB", "P", "RGBA", "LA")
"""Pillow's modes of 8-bit images."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def checked_images(name: str, images: Tensor) -> Tensor:
    """``images`` as given. Raises ValueError unless they are uint8, (N, 1, H, W) and at least one."""
    if images.dtype != torch.uint8:
        raise ValueError(f"{name} is {images.dtype}: give uint8 in [0, 255], rounded from whatever range it has")
    if images.ndim != 4 or images.shape[1] != 1 or 0 in images.shape:
        raise ValueError(f"{name} has shape {tuple(images.shape)}: give grey images (N, 1, H, W)")
    return images


def same_size(real: Tensor, fake: Tensor) -> None:
    """Raise ValueError unless both sets have the same height and width."""
    if real.shape[-2:] != fake.shape[-2:]:
        sizes = [f"{images.shape[-1]}x{images.shape[-2]}" for images in (real, fake)]
        raise ValueError(f"real is {sizes[0]}, fake is {sizes[1]}: bring both to one size first")


def enlarged(images: Tensor, smallest: int, side: int) -> Tensor:
    """Float images (N, 1, H, W) with a side below ``smallest`` enlarged bilinearly to ``side``, others as they are."""
    if min(images.shape[-2:]) >= smallest:
        return images
    return torch.nn.functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


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


def digest_of(images: Tensor) -> str:
    """Hex sha256 over the shape and the pixels."""
    content = hashlib.sha256(repr(tuple(images.shape)).encode())
    content.update(images.contiguous().numpy().data)
    return content.hexdigest()
