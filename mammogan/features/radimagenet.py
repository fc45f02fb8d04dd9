"""DenseNet121 trained on RadImageNet (Mei et al. 2022): features of a network that has seen radiology."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from mammogan.features import weights


class RadImageNet(nn.Module):
    """uint8 (B, 1, H, W) -> mean of the last map (B, 1024), float32.

    Pixels become [-1, 1], which is the PyTorch file's own preprocessing, at the size that they have. Raises ValueError
    for a file that does not hold exactly DenseNet121.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torchvision.models import densenet121

        from mammogan.features.densenet import PREFIXES

        state = weights.read_state(path)
        prefix = next((prefix for prefix in PREFIXES if f"{prefix}conv0.weight" in state), None)
        if prefix is None:
            raise ValueError(f"{path} does not hold DenseNet121: give RadImageNet's DenseNet121.pt")
        self.trunk = densenet121(weights=None).features
        try:
            self.trunk.load_state_dict(
                {name.removeprefix(prefix): value for name, value in state.items() if "classifier" not in name}
            )
        except RuntimeError as error:
            raise ValueError(f"{path} does not hold DenseNet121: {' '.join(str(error).split())[:200]}") from error
        self.trunk.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        x = (images.float() / 127.5 - 1).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return nn.functional.relu(self.trunk(x)).mean(dim=(-2, -1))
