"""The critic D with two branches (the paper's Fig. 4).

Trained branch h: Conv2D, then residual blocks with LeakyReLU, halving the side down to 7x7. Frozen branch f:
DenseNet121. D(x) = w . [h(x), f(x)] + b, both flattened; the paper's text adds a sigmoid. Nothing here couples the
samples of a batch, as the per-sample gradient penalty requires: no BatchNorm in h, and f stays in eval mode.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammogan.models.densenet import OUT_CHANNELS, FrozenDenseNet
from mammogan.models.generator import BASE_SIDE, LEAK, doublings

MOST_CHANNELS = 256


class ResidualBlock(nn.Module):
    """(B, in, H, W) -> (B, out, H/2, W/2): two 3x3 convolutions beside an averaged 1x1 projection."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Leaky(residual + skip), the sum scaled by 1/sqrt(2) so that its variance stays."""
        residual = self.conv2(functional.leaky_relu(self.conv1(x), LEAK))
        skip = self.skip(functional.avg_pool2d(x, 2))
        return functional.leaky_relu((residual + skip) * 0.5**0.5, LEAK)


class Critic(nn.Module):
    """(B, 1, size, size), [-1, 1] -> (B,) scores: unbounded with the linear head, in (0, 1) with the sigmoid."""

    def __init__(
        self,
        size: int,
        channels: int,
        frozen: FrozenDenseNet,
        head: Literal["linear", "sigmoid"] = "linear",
    ) -> None:
        super().__init__()
        widths = [min(channels << i, MOST_CHANNELS) for i in range(doublings(size))]
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(widths))
        self.frozen = frozen
        self.sigmoid = head == "sigmoid"
        self.head = nn.Linear(widths[-1] * BASE_SIDE**2 + OUT_CHANNELS * (size // 8) ** 2, 1)
        self._initialise()

    def _initialise(self) -> None:
        """He's normal initialisation for leaky rectifiers (2015, eq. 15); torch's own for the head."""
        for module in (self.first, *self.blocks.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def trained_features(self, x: Tensor) -> Tensor:
        """h(x), flattened: (B, 1, H, W) -> (B, 49 * channels)."""
        x = functional.leaky_relu(self.first(x), LEAK)
        for block in self.blocks:
            x = block(x)
        return x.flatten(1)

    def frozen_features(self, x: Tensor) -> Tensor:
        """f(x), flattened: (B, 1, H, W) -> (B, 256 * (H/8)^2); the grey channel is replicated here."""
        return self.frozen(x.expand(-1, 3, -1, -1)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the images."""
        score = self.head(torch.cat([self.trained_features(x), self.frozen_features(x)], dim=1)).squeeze(1)
        return torch.sigmoid(score) if self.sigmoid else score

    def trained_state(self) -> dict[str, Tensor]:
        """State dict without the frozen branch, which the weights' sha256 already names."""
        return {key: value for key, value in self.state_dict().items() if not key.startswith("frozen.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``trained_state``; strict about its own keys."""
        frozen = {f"frozen.{key}": value for key, value in self.frozen.state_dict().items()}
        self.load_state_dict({**state, **frozen}, strict=True)
