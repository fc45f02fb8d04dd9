"""Sets of grey images as the metrics take them: uint8 tensors (N, 1, H, W), [0, 255], of one size."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


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
    """Float images (N, 1, H, W) with a side below ``smallest`` enlarged bilinearly, others as they are.

    The shorter side becomes ``side``, and the longer one grows as much.
    """
    height, width = images.shape[-2:]
    shorter = min(height, width)
    if shorter >= smallest:
        return images
    size = (round(height * side / shorter), round(width * side / shorter))
    return torch.nn.functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


def digest_of(images: Tensor) -> str:
    """Hex sha256 over the shape and the pixels."""
    content = hashlib.sha256(repr(tuple(images.shape)).encode())
    content.update(images.contiguous().numpy().data)
    return content.hexdigest()
