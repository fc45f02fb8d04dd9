"""Augmentation of a batch on its own device: flip, rotation, crop, contrast, noise (the paper's list).

The three geometric ones are one affine map and one bilinear resampling.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mammogan.config import TrainConfig

SETTINGS = ("flip", "rotation", "crop", "contrast", "noise")
"""Fields of ``TrainConfig`` that say what ``augment`` does."""


def augment(images: Tensor, config: TrainConfig, rng: torch.Generator) -> Tensor:
    """Augmented copy of images (B, 1, H, W), float32, [-1, 1], same shape and range; each image on its own.

    Everything random comes from ``rng``, which must be on the images' device.
    """
    draws = torch.rand(7, len(images), generator=rng, device=images.device)
    if config.flip or config.rotation or config.crop:
        images = _warp(images, _affine_maps(draws, config))
    if config.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        gain = 1 + config.contrast * (2 * draws[6] - 1)
        images = mean + gain.view(-1, 1, 1, 1) * (images - mean)
    if config.noise:
        noise = torch.randn(images.shape, generator=rng, device=images.device)
        images = images + config.noise * noise
    return images.clamp(-1, 1)


def _affine_maps(draws: Tensor, config: TrainConfig) -> Tensor:
    """Maps (B, 2, 3) from output to input coordinates, both in [-1, 1]."""
    mirror, turn, zoom_x, zoom_y, shift_x, shift_y = draws[:6]
    sign = torch.where((mirror < 0.5) & config.flip, -1.0, 1.0)
    angle = math.radians(config.rotation) * (2 * turn - 1)
    # a crop of share c leaves a window of width 1 - c that may stand anywhere in what was cut away
    width, height = 1 - config.crop * zoom_x, 1 - config.crop * zoom_y
    left, top = (1 - width) * (2 * shift_x - 1), (1 - height) * (2 * shift_y - 1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack((sign * width * cos, -height * sin, left))
    row_y = torch.stack((sign * width * sin, height * cos, top))
    return torch.stack((row_x, row_y)).permute(2, 0, 1)


def _warp(images: Tensor, maps: Tensor) -> Tensor:
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
