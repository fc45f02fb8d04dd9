"""A VGG16 with random weights: features that need no download.

Naeem et al. 2020 propose random embeddings for domains far from ImageNet. Weights are He-normal of fixed seed; the
features are the means of the last convolution over positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# configuration D of Simonyan and Zisserman 2015, table 1, without its dense layers
LAYERS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
SMALLEST_SIDE, LARGEST_SIDE = 16, 112
SEED = 0


class RandomVgg(nn.Module):
    """uint8 (B, 1, H, W) -> (B, 512), float32. Sides above 112 are averaged down to 112 first."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(SEED)
        layers: list[nn.Module] = []
        channels = 1
        for width in LAYERS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
                continue
            convolution = nn.utils.skip_init(nn.Conv2d, channels, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=rng)
            nn.init.zeros_(convolution.get_parameter("bias"))
            layers += [convolution, nn.ReLU(inplace=True)]
            channels = width
        self.trunk = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch. Raises ValueError for a side below 16."""
        if min(images.shape[-2:]) < SMALLEST_SIDE:
            raise ValueError(f"images are {tuple(images.shape[-2:])}: random features need sides from {SMALLEST_SIDE}")
        x = images.float() / 127.5 - 1
        if max(x.shape[-2:]) > LARGEST_SIDE:
            x = nn.functional.interpolate(x, size=[min(side, LARGEST_SIDE) for side in x.shape[-2:]], mode="area")
        return self.trunk(x.contiguous(memory_format=torch.channels_last)).mean(dim=(-2, -1))
