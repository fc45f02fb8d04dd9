"""A plain folder of pictures, without a manifest, read as one tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mammogan.data import picture
from mammogan.data.listing import is_companion
from mammogan.data.picture import SUFFIXES

if TYPE_CHECKING:
    from torch import Tensor


def read_images(folder: Path) -> Tensor:
    """All images below ``folder`` that are not hidden, sorted by path: uint8 (N, 1, H, W).

    Each is read as ``picture.read`` reads it. Raises ValueError as that does, for a folder without images, and for
    sizes that differ.
    """
    import torch

    files = list_images(folder)
    first = picture.read(files[0])
    images = np.empty((len(files), 1, *first.shape), dtype=np.uint8)
    for row, path in zip(images, files, strict=True):
        grey = picture.read(path)
        if grey.shape != first.shape:
            raise ValueError(f"{path} is {_size(grey)}, {files[0].name} is {_size(first)}: bring all to one size")
        row[0] = grey
    return torch.from_numpy(images)


def list_images(folder: Path) -> list[Path]:
    """Pictures below ``folder`` that are not hidden, sorted by path; a link may lead to one within the folder.

    Raises ValueError where there is none, and for one that a link outside the folder gives.
    """
    if not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r}: there is no such folder")
    named = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = sorted(path for path in named if not is_companion(path.relative_to(folder).as_posix()))
    if not files:
        raise ValueError(f"folder={str(folder)!r}: it holds no images ({', '.join(SUFFIXES)})")
    root = folder.resolve()
    for path in files:
        if path.is_file() and not path.resolve().is_relative_to(root):
            raise ValueError(f"{path} leaves its folder by a link; copy the file there")
    return files


def _size(grey: np.ndarray) -> str:
    return f"{grey.shape[1]}x{grey.shape[0]}"
