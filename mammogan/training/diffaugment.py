"""Differentiable augmentation of what the critic sees (DiffAugment, Zhao et al. 2020), against its overfitting.

Reals and fakes go through the same random maps T before the critic, so that it judges T(x) against T(G(z)), and the
generator, whose gradient flows back through T, is not taught to draw what T does. The gradient penalty's x_hat lies
between T(x) and T(G(z)). Every map is affine in the pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mammogan.config import TrainConfig


def diff_augment(images: Tensor, config: TrainConfig, rng: torch.Generator) -> Tensor:
    """Augmented images (B, 1, H, W), each on its own, differentiable with respect to ``images``.

    Shift and cut-out leave mid-grey (0) behind. Brightness and contrast may lead out of [-1, 1], as in the
    publication: a clamp would hide from the generator what lies beyond. Everything random comes from ``rng``, on the
    images' device; without a strength in ``config`` nothing is drawn and the images come back as they are.
    """
    if config.diff_shift:
        images = _shifted(images, config.diff_shift, rng)
    if config.diff_cutout:
        images = _cut_out(images, config.diff_cutout, rng)
    if config.diff_contrast:
        images = _relit(images, config.diff_contrast, rng)
    return images


def _shifted(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Moved by whole pixels, up to a share of the side either way in both directions."""
    count, _, height, width = images.shape
    rows = _moved(height, share, count, images.device, rng).view(count, 1, height, 1)
    columns = _moved(width, share, count, images.device, rng).view(count, 1, 1, width)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    return torch.where(inside, images.flatten(2).gather(2, flat.flatten(2)).view_as(images), 0.0)


def _moved(side: int, share: float, count: int, device: torch.device, rng: torch.Generator) -> Tensor:
    """Position (count, side), int64, that each place takes its pixel from."""
    most = round(share * side)
    offsets = torch.randint(-most, most + 1, (count, 1), generator=rng, device=device)
    return torch.arange(side, device=device) + offsets


def _cut_out(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """With a grey square whose side is a share of the image's, centred anywhere on the image."""
    count, _, height, width = images.shape
    rows = _near(height, share, count, images.device, rng).view(count, 1, height, 1)
    columns = _near(width, share, count, images.device, rng).view(count, 1, 1, width)
    return torch.where(rows & columns, 0.0, images)


def _near(side: int, share: float, count: int, device: torch.device, rng: torch.Generator) -> Tensor:
    """Which positions (count, side), bool, lie in the square's extent about a random centre."""
    extent = round(share * side)
    first = torch.randint(side, (count, 1), generator=rng, device=device) - extent // 2
    behind = torch.arange(side, device=device) - first
    return (behind >= 0) & (behind < extent)


def _relit(images: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Contrast about each image's mean scaled by up to a share either way, and as much added to all pixels or taken."""
    gain, offset = (2 * torch.rand(2, len(images), 1, 1, 1, generator=rng, device=images.device) - 1) * strength
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (1 + gain) * (images - mean) + offset
