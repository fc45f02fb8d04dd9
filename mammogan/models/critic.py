"""The critic D with two branches (the paper's Fig. 4).

Trained branch h: Conv2D, then residual blocks with LeakyReLU, halving the side down to 7x7. Frozen branch f:
DenseNet121, whose maps a *reader* r turns into features. D(x) = w . [h(x), r(f(x))] + b; the paper's text adds a
sigmoid.

In the paper r flattens f's last map: 200,704 features at 224 px. Projected, r is a small network of its own at the end
of either dense block: a trained 1x1 convolution and the same residual blocks (after Sauer et al. 2021, section 3.2,
whose projections are random). The score then weighs patterns of features rather than single ones, with a head of some
thousand weights.

Nothing here couples the samples of a batch, as the per-sample gradient penalty requires: no BatchNorm in h and r, and f
stays in eval mode. All but the sigmoid is piecewise linear, which the fast training step builds on: ``linearise`` notes
which piece an input lies on, and ``jvp`` applies that piece's Jacobian.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammogan.features.densenet import DEPTH_STRIDES, OUT_CHANNELS, FrozenDenseNet
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


class Tower(nn.Module):
    """A first convolution and residual blocks, flattened: (B, in, H, W) -> (B, widths[-1] * last_side^2).

    ``widths`` are the channels after the first convolution and after each block; every block halves the side.
    """

    def __init__(self, first: nn.Conv2d, widths: list[int], last_side: int) -> None:
        super().__init__()
        self.out_features = widths[-1] * last_side**2
        self.first = first
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(widths))
        self._initialise()

    def _initialise(self) -> None:
        """He's normal initialisation for leaky rectifiers (2015, eq. 15)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=LEAK)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def linearise(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features, and the outputs of the rectifiers, which ``jvp`` needs."""
        rectified = [functional.leaky_relu(self.first(x), LEAK)]
        for block in self.blocks:
            block(rectified[-1], rectified)
        return rectified[-1].flatten(1), rectified

    def jvp(self, tangent: Tensor, rectified: list[Tensor]) -> Tensor:
        """J t, from the shape of x to that of the features, with a graph to the weights.

        A tower is piecewise linear: its derivative with respect to the weights through J t is exact almost everywhere.
        """
        kept = [output.detach() for output in rectified]
        tangent = _slope(_without_bias(self.first, tangent), kept[0])
        for i, block in enumerate(self.blocks):
            assert isinstance(block, ResidualBlock)
            tangent = block.jvp(tangent, *kept[2 * i + 1 : 2 * i + 3])
        return tangent.flatten(1)


class Flattened(nn.Module):
    """The paper's reader of a frozen map: every value as it is, (B, 256, side, side) -> (B, 256 * side^2)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.out_features = OUT_CHANNELS * side**2

    def linearise(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features; nothing is rectified."""
        return x.flatten(1), []

    def jvp(self, tangent: Tensor, rectified: list[Tensor]) -> Tensor:  # noqa: ARG002  (a Tower has more to say)
        """J t, that is t flattened."""
        return tangent.flatten(1)


def trained_branch(size: int, channels: int) -> Tower:
    """h: (B, 1, size, size) -> (B, 49 * widest); channels double at each halving of the side, up to 256."""
    widths = _widths(channels, doublings(size) - 1)
    return Tower(nn.Conv2d(1, channels, 5, stride=2, padding=2), widths, BASE_SIDE)


def projection(side: int, channels: int) -> Tower:
    """Reader of a frozen map (B, 256, side, side): a 1x1 convolution to ``channels``, and blocks down to 7x7."""
    halvings = max(0, round(math.log2(side / BASE_SIDE)))
    return Tower(nn.Conv2d(OUT_CHANNELS, channels, 1), _widths(channels, halvings), side >> halvings)


def _widths(channels: int, halvings: int) -> list[int]:
    return [min(channels << i, MOST_CHANNELS) for i in range(halvings + 1)]


class Critic(nn.Module):
    """(B, 1, size, size), [-1, 1] -> (B,) scores: unbounded with the linear head, in (0, 1) with the sigmoid.

    ``frozen`` is f in either form; the fast training step needs the folded one. ``readout`` is how f is read.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        frozen: FrozenDenseNet | FoldedDenseNet,
        head: Literal["linear", "sigmoid"] = "linear",
        readout: Literal["flat", "projected"] = "flat",
    ) -> None:
        super().__init__()
        self.size, self.channels, self.readout = size, channels, readout
        self.trained = trained_branch(size, channels)
        self.frozen = frozen
        self.readers = nn.ModuleList(_READERS[readout](size, channels))
        self.sigmoid = head == "sigmoid"
        self.head = nn.Linear(sum(part.out_features for part in self._parts()), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the images."""
        return self.scores([x, *self.frozen_maps(x)])

    def frozen_maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of f that are read: the last one, (B, 256, H/8, W/8), or before it that of (B, 256, H/4, W/4) too."""
        return self.read(self.frozen.feature_maps(x))

    def read(self, feature_maps: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Those of f's maps, or of their tangents, that are read."""
        return feature_maps[-len(self.readers) :]

    def scores(self, inputs: Sequence[Tensor]) -> Tensor:
        """Scores (B,) of images and their frozen maps."""
        return self.activate(self.linearise(inputs)[0])

    def activate(self, logits: Tensor) -> Tensor:
        """Scores of logits: as they are, or through the sigmoid."""
        return torch.sigmoid(logits) if self.sigmoid else logits

    def slope(self, logits: Tensor) -> Tensor:
        """Derivative of ``activate``, (B,): 1 for the linear head; for the sigmoid with a graph to the weights."""
        if not self.sigmoid:
            return torch.ones_like(logits)
        scores = torch.sigmoid(logits)
        return scores * (1 - scores)

    def linearise(self, inputs: Sequence[Tensor]) -> tuple[Tensor, list[list[Tensor]]]:
        """Logits w . [h, r] + b, (B,), of images and their frozen maps, and the rectifiers' outputs in h and each r."""
        seen = [part.linearise(tensor) for part, tensor in zip(self._parts(), inputs, strict=True)]
        logits = self.head(torch.cat([features for features, _ in seen], dim=1)).squeeze(1)
        return logits, [rectified for _, rectified in seen]

    def jvp(self, tangents: Sequence[Tensor], rectified: list[list[Tensor]]) -> Tensor:
        """J t of the logits, (B,), with a graph to the trained weights, for tangents t of what ``linearise`` saw."""
        parts = zip(self._parts(), tangents, rectified, strict=True)
        features = [part.jvp(tangent, kept) for part, tangent, kept in parts]
        return functional.linear(torch.cat(features, dim=1), self.head.weight).squeeze(1)

    def trained_state(self) -> dict[str, Tensor]:
        """State dict without the frozen branch, which the weights' sha256 already names."""
        return {key: value for key, value in self.state_dict().items() if not key.startswith("frozen.")}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``trained_state``; strict about its own keys."""
        frozen = {f"frozen.{key}": value for key, value in self.frozen.state_dict().items()}
        self.load_state_dict({**state, **frozen}, strict=True)

    def _parts(self) -> list[Tower | Flattened]:
        """H and the readers, in the order of their features in the head."""
        return cast("list[Tower | Flattened]", [self.trained, *self.readers])


def _flat(size: int, channels: int) -> list[Flattened]:  # noqa: ARG001  (as ``_projected``)
    return [Flattened(size // DEPTH_STRIDES[-1])]


def _projected(size: int, channels: int) -> list[Tower]:
    """A reader at either depth, with twice the channels of the trained branch's first layer."""
    return [projection(size // stride, 2 * channels) for stride in DEPTH_STRIDES]


_READERS = {"flat": _flat, "projected": _projected}


def _without_bias(conv: nn.Conv2d, tangent: Tensor) -> Tensor:
    return functional.conv2d(tangent, conv.weight, None, conv.stride, conv.padding)


def _slope(tangent: Tensor, rectified: Tensor) -> Tensor:
    """Tangent through a LeakyReLU that gave ``rectified``."""
    return torch.ops.aten.leaky_relu_backward(tangent, rectified, LEAK, True)
