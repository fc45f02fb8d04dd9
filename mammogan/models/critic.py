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
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import BASE_SIDE, LEAK, doublings

MOST_CHANNELS = 256


class ResidualBlock(nn.Module):
    """(B, in, H, W) -> (B, out, H/2, W/2): leaky(residual + skip), two 3x3 convolutions beside an averaged 1x1 one.

    The sum is scaled by 1/sqrt(2), so that its variance stays.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor, rectified: list[Tensor]) -> Tensor:
        """Output; the outputs of both rectifiers go to the end of ``rectified``."""
        inner = functional.leaky_relu(self.conv1(x), LEAK)
        skip = self.skip(functional.avg_pool2d(x, 2))
        outer = functional.leaky_relu((self.conv2(inner) + skip) * 0.5**0.5, LEAK)
        rectified += (inner, outer)
        return outer

    def jvp(self, tangent: Tensor, inner: Tensor, outer: Tensor) -> Tensor:
        """Tangent of the output where the rectifiers gave ``inner`` and ``outer``."""
        skip = self.skip(functional.avg_pool2d(tangent, 2))
        tangent = _slope(_without_bias(self.conv1, tangent), inner)
        return _slope((_without_bias(self.conv2, tangent) + skip) * 0.5**0.5, outer)


class TrainedBranch(nn.Module):
    """h: (B, 1, size, size) -> (B, 49 * widest); channels double at each halving of the side, up to 256."""

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        widths = [min(channels << i, MOST_CHANNELS) for i in range(doublings(size))]
        self.first = nn.Conv2d(1, channels, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(widths))
        self.out_features = widths[-1] * BASE_SIDE**2
        self._initialise()

    def _initialise(self) -> None:
        """He's normal initialisation for leaky rectifiers (2015, eq. 15)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the images."""
        return self.linearise(x)[0]

    def linearise(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features, and the outputs of the rectifiers, which ``jvp`` needs."""
        rectified = [functional.leaky_relu(self.first(x), LEAK)]
        for block in self.blocks:
            block(rectified[-1], rectified)
        return rectified[-1].flatten(1), rectified

    def jvp(self, tangent: Tensor, rectified: list[Tensor]) -> Tensor:
        """J t, (B, 1, H, W) -> (B, 49 * widest), with a graph to the weights.

        h is piecewise linear: its derivative with respect to the weights through J t is exact almost everywhere.
        """
        kept = [output.detach() for output in rectified]
        tangent = _slope(_without_bias(self.first, tangent), kept[0])
        for i, block in enumerate(self.blocks):
            assert isinstance(block, ResidualBlock)
            tangent = block.jvp(tangent, *kept[2 * i + 1 : 2 * i + 3])
        return tangent.flatten(1)


class Critic(nn.Module):
    """(B, 1, size, size), [-1, 1] -> (B,) scores: unbounded with the linear head, in (0, 1) with the sigmoid.

    ``frozen`` is f in either form; the fast training step needs the folded one.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        frozen: FrozenDenseNet | FoldedDenseNet,
        head: Literal["linear", "sigmoid"] = "linear",
    ) -> None:
        super().__init__()
        self.trained = TrainedBranch(size, channels)
        self.frozen = frozen
        self.sigmoid = head == "sigmoid"
        self.map_shape = torch.Size((OUT_CHANNELS, size // 8, size // 8))
        self.head = nn.Linear(self.trained.out_features + self.map_shape.numel(), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the images."""
        return self.activate(self.logits(self.trained(x), self.frozen_features(x)))

    def frozen_features(self, x: Tensor) -> Tensor:
        """f(x), flattened: (B, 1, H, W) -> (B, 256 * (H/8)^2)."""
        return self.frozen(x).flatten(1)

    def logits(self, trained: Tensor, frozen: Tensor) -> Tensor:
        """Logits w . [h, f] + b, (B,), of both branches' features."""
        return self.head(torch.cat([trained, frozen], dim=1)).squeeze(1)

    def activate(self, logits: Tensor) -> Tensor:
        """Scores of logits: as they are, or through the sigmoid."""
        return torch.sigmoid(logits) if self.sigmoid else logits

    def head_weights(self) -> tuple[Tensor, Tensor]:
        """The two parts of w: (49 * widest,) for h, and (256, H/8, W/8) for f."""
        trained, frozen = self.head.weight[0].split([self.trained.out_features, self.map_shape.numel()])
        return trained, frozen.view(self.map_shape)

    def trained_state(self) -> dict[str, Tensor]:
        """State dict without the frozen branch, which the weights' sha256 already names."""
        return {key: value for key, value in self.state_dict().items() if not key.startswith("frozen.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``trained_state``; strict about its own keys."""
        frozen = {f"frozen.{key}": value for key, value in self.frozen.state_dict().items()}
        self.load_state_dict({**state, **frozen}, strict=True)


def _without_bias(conv: nn.Conv2d, tangent: Tensor) -> Tensor:
    return functional.conv2d(tangent, conv.weight, None, conv.stride, conv.padding)


def _slope(tangent: Tensor, rectified: Tensor) -> Tensor:
    """Tangent through a LeakyReLU that gave ``rectified``."""
    return torch.ops.aten.leaky_relu_backward(tangent, rectified, LEAK, True)
