"""Images of a generator one batch after another, each a function of the model, the seed and its index alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mammogan import storage
from mammogan.device import float32_convolutions, pick_device
from mammogan.models.generator import Generator, load_generator, to_uint8

BATCH_SIZE = 64
"""Every batch is full, because the size of a batch may change the last bit of its images."""


@dataclass(frozen=True)
class Model:
    """A generator and what its images are marked with."""

    generator: Generator
    """In eval mode, on the device that draws."""
    version: str
    """Part of every image's name, such as ``mammogan-v3``."""
    sha256: str
    """Of the snapshot's file."""


def load_model(snapshot: Path, version: str = "") -> Model:
    """Model of a snapshot's file, on the GPU where there is one; without a version the file's sha256 stands for it.

    Raises ValueError for a version that cannot stand in a file's name, and as ``load_generator`` does.
    """
    sha256 = storage.sha256_of(snapshot)
    if not all(letter.isalnum() or letter in "._-" for letter in version):
        raise ValueError(f"version={version!r}: use letters, digits, '.', '_' and '-'")
    device = pick_device()
    return Model(load_generator(snapshot).to(device), version or sha256[:12], sha256)


def latents(latent_dim: int, seed: int, first: int) -> Iterator[Tensor]:
    """Rows ``first``, ``first + 1``, ... of what ``draw_latents`` gives for the seed, however many are asked for."""
    rng = torch.Generator().manual_seed(seed)
    rows = (torch.randn(latent_dim, generator=rng) for _ in itertools.count())
    return itertools.islice(rows, first, None)


def batches(generator: Generator, seed: int, truncation: float, first: int) -> Iterator[np.ndarray]:
    """Batches (64, H, W), uint8, without end; the first one starts at image ``first`` of the seed."""
    device = next(generator.parameters()).device
    rows = latents(generator.latent_dim, seed, first)
    while True:
        z = torch.stack(list(itertools.islice(rows, BATCH_SIZE))) * truncation
        with torch.inference_mode(), float32_convolutions():
            images = to_uint8(generator(z.to(device))).squeeze(1).cpu()
        yield images.numpy()
