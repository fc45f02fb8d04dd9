"""ResNet-50 trained without labels by SwAV (Caron et al. 2020) or DINO (Caron et al. 2021), from the authors' files.

Features of such networks rank generators more like people do than Inception's (Morozov, Voynov and Babenko 2021; Stein
et al. 2023). Images are prepared as the authors' own evaluations do it (``eval_linear.py`` of SwAV, ``eval_knn.py`` of
DINO): shorter side to 256, the central 224 x 224, their mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transforms

from mammogan.features.saved import require_shapes
from mammogan.features.weights import read_state

SETTING = "evaluate.extractor_weights"
SHORTER_SIDE, CROP = 256, 224
MEAN = (0.485, 0.456, 0.406)
PREFIX = "module."
"""Of every key of a file that was saved by a network on several GPUs, as SwAV's is."""
HEADS = ("projection_head.", "prototypes", "fc.", "head.")
"""Beginnings of keys of what came behind the features in training."""
COUNTER = "num_batches_tracked"
"""End of the keys of a count that plays no part in evaluation."""


@dataclass(frozen=True)
class Preparation:
    """What differs between the two networks' own evaluations."""

    interpolation: InterpolationMode
    std: tuple[float, float, float]


PREPARATIONS: Mapping[str, Preparation] = {
    "swav": Preparation(InterpolationMode.BILINEAR, (0.228, 0.224, 0.225)),
    "dino": Preparation(InterpolationMode.BICUBIC, (0.229, 0.224, 0.225)),
}


class SelfSupervised(nn.Module):
    """uint8 (B, 1, H, W) -> mean of the last map (B, 2048), float32; ``kind`` is ``swav`` or ``dino``.

    Raises ValueError for a file that does not hold exactly the weights of ResNet-50, heads apart.
    """

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__()
        self.preparation = PREPARATIONS[kind]
        self.trunk = resnet50(weights=None)
        self.trunk.fc = nn.Identity()
        _load(self.trunk, path)
        self.trunk.to(memory_format=torch.channels_last)
        for name, values in (("mean", MEAN), ("std", self.preparation.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        return self.trunk(self.prepared(images).contiguous(memory_format=torch.channels_last))

    def prepared(self, images: Tensor) -> Tensor:
        """What the network is given, (B, 3, 224, 224), float32."""
        resized = transforms.resize(images, [SHORTER_SIDE], self.preparation.interpolation, antialias=True)
        x = transforms.center_crop(resized, [CROP]).float() / 255
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


def _load(trunk: nn.Module, path: Path) -> None:
    try:
        state = _backbone(read_state(path))
        wanted = {name: value for name, value in trunk.state_dict().items() if not name.endswith(COUNTER)}
        require_shapes(wanted, state)
    except ValueError as error:
        raise ValueError(f"{SETTING}: {path} does not hold ResNet-50 as published: {error}") from error
    trunk.load_state_dict(state, strict=False)  # all but the counters is there


def _backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by torchvision's names, without heads and counters."""
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"it holds {sorted(map(str, state))[:2]}; give a plain state dict")
    plain = {name.removeprefix(PREFIX): value for name, value in state.items()}
    return {name: value for name, value in plain.items() if not name.startswith(HEADS) and not name.endswith(COUNTER)}
