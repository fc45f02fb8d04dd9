"""A generator's snapshot without a training."""

import torch

from mammogan.models.generator import Generator, save_snapshot


def write_snapshot(path, size, channels):
    """Snapshot of epoch 4 at ``path``, whose images (size, size) are not flat."""
    generator = Generator(size, 8, channels)
    z = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(30):  # BatchNorm's running statistics: without them an untrained generator draws flat grey
        generator(z)
    save_snapshot(generator, 4, path)
    return path
