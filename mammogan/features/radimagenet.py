"""DenseNet121 trained on RadImageNet (Mei et al. 2022): features of a network that has seen radiology."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mammogan.features.densenet_weights import read_trunk


class RadImageNet(nn.Module):
    """uint8 (B, 1, H, W) -> mean of the last map (B, 1024), float32.

    Pixels become [-1, 1], which is the PyTorch file's own preprocessing, at the size that they have. Raises ValueError
    for a file that does not hold DenseNet121.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.trunk = read_trunk(path, "evaluate.extractor_weights").to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        x = (images.float() / 127.5 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return nn.functional.relu(self.trunk(x)).mean(dim=(-2, -1))
