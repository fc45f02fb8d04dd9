"""The training sets that are compared: real images alone, filled up in several ways, and real ones replaced.

Every arm is drawn by the same sampler, half of each batch from either class, so that no arm differs from its control in
how often it sees a class. Real images alone, the usual training, weigh their loss to the classes' natural shares
instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

REAL, OVERSAMPLED, AUGMENTED = "real", "oversampled", "augmented"
SYNTHETIC, BOTH, REPLACED = "synthetic", "synthetic_augmented", "replaced"
DECIDING = ((SYNTHETIC, OVERSAMPLED), (BOTH, AUGMENTED))
"""The family of tests: arm and control, which differ in the synthetic images alone; both must show that they help."""


@dataclass(frozen=True)
class Pool:
    """Images to train on, by label, and what the generator made of one class."""

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
    control: str | None = None
    """Arm that differs from it in one thing; None for real images alone."""
    synthetic: int = 0
    """How many of them are synthetic."""
    natural: bool = False
    """Whether the loss weighs both classes by their natural shares, not alike."""
    augment: bool = False
    """Whether images are flipped, turned, cropped, and changed in contrast."""
    share: float | None = None
    """Share of the synthetic images that was added; the point of the learning curve."""


def arms(pool: Pool, shares: Sequence[float]) -> list[Arm]:
    """Every arm, real images alone first. ``shares`` of the synthetic images, and all, make the learning curve."""
    chosen = [
        Arm(REAL, "real images alone", pool.real, natural=True),
        Arm(OVERSAMPLED, "real images, the rare class oversampled to balance", pool.real, REAL, share=0.0),
        Arm(AUGMENTED, "real images, oversampled, classical augmentation", pool.real, OVERSAMPLED, augment=True),
    ]
    for share in sorted({*shares, 1.0}):
        count = max(1, round(share * len(pool.synthetic)))
        added = torch.cat([pool.real[pool.label], pool.synthetic[:count]])
        name = SYNTHETIC if share == 1 else f"{SYNTHETIC}_{share:g}"
        title = f"real and {count} synthetic images"
        chosen.append(Arm(name, title, _with(pool, added), OVERSAMPLED, synthetic=count, share=share))
    both = torch.cat([pool.real[pool.label], pool.synthetic])
    chosen.append(
        Arm(BOTH, "real and all synthetic images, classical augmentation", _with(pool, both), AUGMENTED,
            synthetic=len(pool.synthetic), augment=True)
    )  # fmt: skip
    chosen.append(
        Arm(REPLACED, "synthetic images in place of the real ones of their class", _with(pool, pool.synthetic),
            OVERSAMPLED, synthetic=len(pool.synthetic))
    )  # fmt: skip
    return chosen


def _with(pool: Pool, images: Tensor) -> tuple[Tensor, Tensor]:
    benign, malignant = pool.real
    return (benign, images) if pool.label else (images, malignant)
