"""Distances between training, held-out and synthetic images, in three spaces.

Pixels: the root mean square difference on the [-1, 1] scale. LPIPS: its square root, which is a Euclidean distance of
embeddings. Features: the Euclidean distance of what KID and FID see. A query is compared as it is and mirrored, and the
nearer counts, because training mirrors images at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mammogan.config import EvaluateConfig, SpaceKind
from mammogan.device import pick_device
from mammogan.statistics import Floats

BLOCK_BYTES = 256 << 20
"""Embeddings that are in memory at once, of either side."""


@dataclass(frozen=True)
class Space:
    """An embedding in which Euclidean distance means something."""

    kind: SpaceKind
    name: str
    """``pixel``, ``lpips`` or ``lpips_random``, or an extractor's name."""
    note: str
    """What to know about it, in a sentence."""
    embed: Callable[[Tensor], Tensor]
    """uint8 (B, 1, H, W) -> (B, D), float32."""
    judges: bool = True
    """Whether the gate listens to it; a random network is only told of."""


@dataclass(frozen=True)
class Distances:
    """Euclidean distances between n training, h held-out and m synthetic images in one space."""

    fake_train: Floats
    """(m, n)."""
    fake_held: Floats
    """(m, h)."""
    held_train: Floats
    """(h, n)."""
    fake_fake: Floats
    """(m, m)."""
    train_train: Floats
    """(n, n)."""


def pixel_embedding(images: Tensor) -> Tensor:
    """(B, H * W), float32: pixels in [-1, 1] over the square root of their number."""
    return (images.flatten(1).float() / 127.5 - 1) / math.sqrt(images[0].numel())


def load_spaces(config: EvaluateConfig) -> list[Space]:
    """The three spaces, with the networks that the evaluation uses. Raises as their loaders do."""
    from mammogan.features.extractor import load_extractor
    from mammogan.metrics.lpips import load_perceptual

    device = pick_device(config.device, "evaluate.device")
    perceptual = load_perceptual(config.lpips_weights, device, config.lpips_sha256)
    extractor = load_extractor(config, device)
    return [
        Space(SpaceKind.PIXEL, "pixel", "root mean square difference of pixels in [-1, 1]", pixel_embedding),
        Space(
            SpaceKind.LPIPS,
            perceptual.name,
            f"square root of LPIPS; {perceptual.note}",
            perceptual.embed,
            judges="random" not in perceptual.name,
        ),
        Space(
            SpaceKind.FEATURES,
            extractor.name,
            extractor.note,
            extractor.features,
            judges="random" not in extractor.name,
        ),
    ]


def measure(space: Space, train: Tensor, held_out: Tensor, fakes: Tensor, batch_size: int) -> Distances:
    """Distances of uint8 images (N, 1, H, W) that the audit needs."""
    held_out = held_out if len(held_out) else train[:0]  # none have no size of their own
    queries = torch.cat([train, held_out, fakes, held_out.flip(-1), fakes.flip(-1)])
    n, h, m = len(train), len(held_out), len(fakes)
    all_pairs = between(space.embed, queries, queries[: n + h + m], batch_size)
    plain, mirrored = np.split(all_pairs[n:], 2)
    nearer = np.minimum(plain, mirrored)
    return Distances(
        fake_train=nearer[h:, :n],
        fake_held=nearer[h:, n : n + h],
        held_train=nearer[:h, :n],
        fake_fake=plain[h:, n + h :],
        train_train=all_pairs[:n, :n],
    )


def between(embed: Callable[[Tensor], Tensor], left: Tensor, right: Tensor, batch_size: int) -> Floats:
    """Euclidean distances (N, M) between embeddings of two sets, block by block; memory is that of two blocks."""
    width = embed(left[:1]).shape[1]
    block = max(batch_size, BLOCK_BYTES // (4 * width))
    centre = torch.cat([embed(part) for part in left[:: max(1, len(left) // 32)].split(batch_size)]).mean(dim=0)
    result = np.empty((len(left), len(right)))
    for first, x in _blocks(embed, left, centre, block, batch_size):
        for start, y in _blocks(embed, right, centre, block, batch_size):
            squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.T
            result[first : first + len(x), start : start + len(y)] = squares.clamp(min=0).sqrt().cpu().numpy()
    return result


def _blocks(
    embed: Callable[[Tensor], Tensor], images: Tensor, centre: Tensor, block: int, batch_size: int
) -> Iterator[tuple[int, Tensor]]:
    for first in range(0, len(images), block):
        parts = images[first : first + block].split(batch_size)
        yield first, torch.cat([embed(part) for part in parts]) - centre
