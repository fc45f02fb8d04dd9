"""The training sets that are compared: real images alone, filled up in several ways, and real ones replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

REAL = "real"


@dataclass(frozen=True)
class Pool:
    """Images of the train split, by label, and what the generator made of one class."""

    real: tuple[Tensor, Tensor]
    """Benign and malignant, uint8 (N, 1, H, W)."""
    synthetic: Tensor
    """uint8 (M, 1, H, W)."""
    label: int
    """Class of the synthetic images."""


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: str
    """Short name for keys and files."""
    title: str
    """What it trains on, for a reader."""
    classes: tuple[Tensor, Tensor]
    """Benign and malignant images, uint8 (N, 1, H, W)."""
    synthetic: int = 0
    """How many of them are synthetic."""
    oversample: bool = False
    """Whether both classes are drawn equally often."""
    augment: bool = False
    """Whether images are flipped, turned, cropped, and changed in contrast."""
    share: float | None = None
    """Share of the synthetic images that was added; the point of the learning curve."""


def arms(pool: Pool, shares: Sequence[float]) -> list[Arm]:
    """Every arm, real images alone first. ``shares`` of the synthetic images make the learning curve."""
    chosen = [
        Arm(REAL, "real images alone", pool.real, share=0.0),
        Arm("oversampled", "real images, the rare class drawn as often as the other", pool.real, oversample=True),
        Arm("augmented", "real images, classical augmentation", pool.real, augment=True),
    ]
    for share in sorted(shares):
        count = max(1, round(share * len(pool.synthetic)))
        added = torch.cat([pool.real[pool.label], pool.synthetic[:count]])
        title = f"real and {count} synthetic images"
        chosen.append(Arm(f"synthetic_{share:g}", title, _with(pool, added), synthetic=count, share=share))
    both = torch.cat([pool.real[pool.label], pool.synthetic])
    chosen.append(
        Arm("synthetic_augmented", "real and all synthetic images, classical augmentation", _with(pool, both),
            synthetic=len(pool.synthetic), augment=True)
    )  # fmt: skip
    chosen.append(
        Arm("replaced", "synthetic images in place of the real ones of their class", _with(pool, pool.synthetic),
            synthetic=len(pool.synthetic))
    )  # fmt: skip
    return chosen


def _with(pool: Pool, images: Tensor) -> tuple[Tensor, Tensor]:
    benign, malignant = pool.real
    return (benign, images) if pool.label else (images, malignant)
