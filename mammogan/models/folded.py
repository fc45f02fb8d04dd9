"""The frozen branch made fast: DenseNet121's trunk with its BatchNorms folded, and its exact linearisation.

f is piecewise linear. ``linearise(x)`` evaluates f once and keeps which rectifiers passed and which pixel each maximum
took; from then on the Jacobian J = df/dx acts on vectors at the price of one pass each, as J^T g (``vjp``) and as
J t (``jvp``), where a general double backward costs several.

Four rewritings, all exact: BatchNorm in eval mode goes into the convolution before it where there is one, and is a
scale and a shift elsewhere; the three equal input channels become the sum of their weights; the 7x7 convolution of
stride 2 becomes a 4x4 one of stride 1 on 2x2 pixels gathered as channels; the transition averages before its 1x1
convolution rather than after. Activations are channels_last, and every concatenation is a buffer written in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.densenet import _DenseLayer

from mammogan.features.densenet import FrozenDenseNet

CHANNELS_LAST = torch.channels_last


@dataclass
class ActivationPattern:
    """Which linear piece of f each image of one batch lies on."""

    pooled: Tensor = field(default_factory=lambda: torch.empty(0))
    """Output of the max-pooling, (B, 64, H/4, W/4); positive where its rectifier passed."""
    winners: Tensor = field(default_factory=lambda: torch.empty(0))
    """Flat position, int64, in the (H/2, W/2) map that each maximum came from."""
    rectified: list[Tensor] = field(default_factory=list)
    """Outputs of the other rectifiers in the order of evaluation, positive where they passed."""


class FoldedLayer(nn.Module):
    """A DenseNet layer: (B, c, h, w) -> 32 more channels, conv3x3(relu(conv1x1(relu(scale * x + shift)) + bias))."""

    scale: Tensor
    shift: Tensor
    squeeze: Tensor
    bias: Tensor
    grow: Tensor
    squeeze_adjoint: Tensor
    grow_adjoint: Tensor

    def __init__(self, layer: _DenseLayer) -> None:
        super().__init__()
        scale, shift = _affine(layer.norm1)
        squeeze, bias = _fold(layer.conv1, layer.norm2)
        grow = layer.conv2.weight
        _hold(self, scale=scale, shift=shift, squeeze=squeeze, bias=bias, grow=grow)
        _hold(self, squeeze_adjoint=_adjoint(squeeze), grow_adjoint=_adjoint(grow))

    def forward(self, x: Tensor, pattern: ActivationPattern | None) -> Tensor:
        """New channels; where there is a pattern, what the rectifiers did goes to its end."""
        u = torch.addcmul(self.shift, x, self.scale).relu_()
        v = functional.conv2d(u, self.squeeze, self.bias).relu_()
        if pattern is not None:
            pattern.rectified += (u, v)
        return functional.conv2d(v, self.grow, padding=1)

    def jvp(self, tangent: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Tangent of the new channels for a tangent of ``x``."""
        tangent = functional.conv2d(_gate(tangent * self.scale, u), self.squeeze)
        return functional.conv2d(_gate(tangent, v), self.grow, padding=1)

    def vjp(self, gradient: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Gradient of ``x`` for a gradient of the new channels."""
        gradient = _gate(functional.conv2d(gradient, self.grow_adjoint, padding=1), v)
        return _gate(functional.conv2d(gradient, self.squeeze_adjoint), u).mul_(self.scale)


class FoldedBlock(nn.Module):
    """Layers whose outputs are concatenated behind their input: (B, c, h, w) -> (B, c + 32 * layers, h, w)."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        layers = [FoldedLayer(layer) for layer in block.children() if isinstance(layer, _DenseLayer)]
        self.layers = nn.ModuleList(layers)
        self.growth = layers[0].grow.shape[0]

    def __iter__(self) -> Iterator[FoldedLayer]:
        """Layers in the order of evaluation."""
        for layer in self.layers:
            assert isinstance(layer, FoldedLayer)
            yield layer

    def _with_room(self, x: Tensor) -> Tensor:
        """Buffer for the whole output, with x in its first channels."""
        channels = x.shape[1] + self.growth * len(self.layers)
        size = (len(x), channels, *x.shape[2:])
        buffer = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=CHANNELS_LAST)
        buffer[:, : x.shape[1]] = x
        return buffer

    def forward(self, x: Tensor, pattern: ActivationPattern | None) -> Tensor:
        """Input and all new channels."""
        buffer, width = self._with_room(x), x.shape[1]
        for layer in self:
            buffer[:, width : width + self.growth] = layer(buffer[:, :width], pattern)
            width += self.growth
        return buffer

    def jvp(self, tangent: Tensor, rectified: list[Tensor]) -> Tensor:
        """Tangent of the output; ``rectified`` are this block's own entries of the pattern."""
        buffer, width = self._with_room(tangent), tangent.shape[1]
        for i, layer in enumerate(self):
            buffer[:, width : width + self.growth] = layer.jvp(buffer[:, :width], *rectified[2 * i : 2 * i + 2])
            width += self.growth
        return buffer

    def vjp(self, gradient: Tensor, rectified: list[Tensor]) -> Tensor:
        """Gradient of the input; overwrites ``gradient``."""
        for i, layer in reversed(list(enumerate(self))):
            gradient, new = gradient.split([gradient.shape[1] - self.growth, self.growth], dim=1)
            new = new.contiguous(memory_format=CHANNELS_LAST)
            gradient += layer.vjp(new, *rectified[2 * i : 2 * i + 2])
        return gradient


class FoldedDenseNet(nn.Module):
    """(B, 1, H, W), [-1, 1] -> (B, 256, H/8, W/8), as ``FrozenDenseNet``; its dtype and device are the source's.

    ``forward`` is differentiable once; ``linearise`` serves the gradient penalty. H and W are even.
    """

    stem: Tensor
    stem_bias: Tensor
    scale: Tensor
    shift: Tensor
    reduce: Tensor
    expand: Tensor

    def __init__(self, source: FrozenDenseNet) -> None:
        super().__init__()
        stem, bias = _fold(source.conv0, source.norm0)
        # one zero row and column before the kernel align it with the 2x2 grid
        stem = functional.pixel_unshuffle(functional.pad(stem.sum(1, keepdim=True), (1, 0, 1, 0)), 2)
        scale, shift = _affine(source.transition1.norm)
        reduce = source.transition1.conv.weight
        _hold(self, stem=stem, stem_bias=bias, scale=scale, shift=shift, reduce=reduce, expand=_adjoint(reduce))
        self.block1, self.block2 = FoldedBlock(source.denseblock1), FoldedBlock(source.denseblock2)
        self.to(source.conv0.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Features; gradients flow to ``x`` once, and double backward raises."""
        return self.feature_maps(x)[-1]

    def feature_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of either dense block, as ``FrozenDenseNet.feature_maps``; differentiable once, like ``forward``."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _FeatureMaps.apply(x, self)
        with torch.no_grad():
            return self._evaluate(x, None)

    @torch.no_grad()
    def linearise(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], ActivationPattern]:
        """Maps of either dense block at x, and the pattern for ``jvp`` and ``vjp`` at x."""
        pattern = ActivationPattern()
        return self._evaluate(x, pattern), pattern

    def _evaluate(self, x: Tensor, pattern: ActivationPattern | None) -> tuple[Tensor, Tensor]:
        x = functional.conv2d(_space_to_depth(x), self.stem, self.stem_bias).relu_()
        if pattern is None:
            x = functional.max_pool2d(x, 3, 2, 1)
        else:
            x, pattern.winners = functional.max_pool2d(x, 3, 2, 1, return_indices=True)
            pattern.pooled = x
        shallow = self.block1(x, pattern)
        x = torch.addcmul(self.shift, shallow, self.scale).relu_()
        if pattern is not None:
            pattern.rectified.append(x)
        x = functional.conv2d(functional.avg_pool2d(x, 2), self.reduce)
        return shallow, self.block2(x, pattern)

    @torch.no_grad()
    def jvp(self, tangent: Tensor, pattern: ActivationPattern) -> tuple[Tensor, Tensor]:
        """J t of either map: (B, 1, H, W) -> (B, 256, H/4, W/4) and (B, 256, H/8, W/8)."""
        block1, gate, block2 = self._split(pattern)
        tangent = functional.conv2d(_space_to_depth(tangent), self.stem)
        shallow = self.block1.jvp(_gate(_take(tangent, pattern.winners), pattern.pooled), block1)
        tangent = functional.avg_pool2d(_gate(shallow * self.scale, gate), 2)
        return shallow, self.block2.jvp(functional.conv2d(tangent, self.reduce), block2)

    @torch.no_grad()
    def vjp(self, gradients: Sequence[Tensor | None], pattern: ActivationPattern) -> Tensor:
        """J^T g, (B, 1, H, W), of gradients at either map, or at the last one alone."""
        block1, gate, block2 = self._split(pattern)
        *above, deep = gradients
        assert deep is not None
        gradient = self.block2.vjp(deep.clone(memory_format=CHANNELS_LAST), block2)
        gradient = functional.conv2d(gradient, self.expand)
        gradient = torch.ops.aten.avg_pool2d_backward(gradient, gate, [2, 2], [2, 2], [0, 0], False, True, None)
        gradient = _gate(gradient, gate).mul_(self.scale)
        for shallow in above:
            gradient = gradient if shallow is None else gradient.add_(shallow)
        gradient = self.block1.vjp(gradient, block1)
        height, width = (2 * side for side in pattern.pooled.shape[2:])
        gradient = _put(_gate(gradient, pattern.pooled), pattern.winners, height, width)
        return functional.pixel_shuffle(functional.conv_transpose2d(gradient, self.stem), 2)[..., 4:-2, 4:-2]

    def _split(self, pattern: ActivationPattern) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """Entries of the pattern that belong to the first block, the transition and the second block."""
        at = 2 * len(self.block1.layers)
        return pattern.rectified[:at], pattern.rectified[at], pattern.rectified[at + 1 :]


class _FeatureMaps(torch.autograd.Function):
    """Both maps of f with ``vjp`` as backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, network: FoldedDenseNet) -> tuple[Tensor, Tensor]:  # noqa: ANN401  (torch's context has no public type)
        ctx.set_materialize_grads(False)
        (shallow, deep), ctx.pattern = network.linearise(x)
        ctx.network = network
        return shallow, deep

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:  # noqa: ANN401
        return ctx.network.vjp(gradients, ctx.pattern), None


def _gate(x: Tensor, rectified: Tensor) -> Tensor:
    """Keep x where the rectifier passed, 0 elsewhere."""
    return torch.ops.aten.threshold_backward(x, rectified, 0)


def _space_to_depth(x: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 4, H/2 + 3, W/2 + 3): 2x2 pixels as channels, padded for the 4x4 stem."""
    x = functional.pad(functional.pixel_unshuffle(x, 2), (2, 1, 2, 1))
    return x.contiguous(memory_format=CHANNELS_LAST)


def _pixels_first(x: Tensor) -> Tensor:
    """(B, C, H, W) in channels_last -> (B, H * W, C), without a copy."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _take(x: Tensor, winners: Tensor) -> Tensor:
    """Max-pooling with the winners of an earlier one: (B, C, H, W) -> the winners' shape."""
    taken = _pixels_first(x).gather(1, _pixels_first(winners))
    return taken.unflatten(1, winners.shape[2:]).permute(0, 3, 1, 2)


def _put(x: Tensor, winners: Tensor, height: int, width: int) -> Tensor:
    """Transpose of ``_take``: adds every x to its winner's place in (B, C, height, width)."""
    target = x.new_zeros(len(x), height * width, x.shape[1])
    target.scatter_add_(1, _pixels_first(winners), _pixels_first(x))
    return target.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift (1, C, 1, 1), float64, of a BatchNorm in eval mode."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    return scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of a convolution with the BatchNorm behind it."""
    scale, shift = _affine(norm)
    return conv.weight.double() * scale.view(-1, 1, 1, 1), shift.flatten()


def _adjoint(weight: Tensor) -> Tensor:
    """Weight of the convolution that is the transpose of a padded one of stride 1."""
    return weight.flip(2, 3).transpose(0, 1)


def _hold(module: nn.Module, **tensors: Tensor) -> None:
    """Register constants, convolution weights in channels_last."""
    for name, tensor in tensors.items():
        layout = CHANNELS_LAST if tensor.dim() == 4 else torch.contiguous_format
        module.register_buffer(name, tensor.detach().contiguous(memory_format=layout))
