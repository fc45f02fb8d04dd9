"""The Inception v3 of FID and KID (Szegedy et al. 2016, TensorFlow's weights of 2015) for grey images.

The network and its weights' file are torch-fidelity's. Four rewritings, exact up to rounding, make it several times as
fast on a CPU: three equal input channels become the sum of their weights, BatchNorm goes into the convolutions,
activations are channels_last, and the resize is two small matrix products. Resizing is part of a published number:
``tf1`` is TensorFlow 1's bilinear one (Heusel et al. 2017; torch-fidelity), ``clean`` Pillow's antialiased bicubic one
(Parmar et al. 2022; clean-fid).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mammogan.metrics import weights

SIDE = 299


class Inception(nn.Module):
    """uint8 (B, 1, H, W) -> pool features (B, 2048), float32."""

    def __init__(self, path: Path, resize: Literal["tf1", "clean"]) -> None:
        super().__init__()
        self.resize = {"tf1": resized_as_tensorflow1, "clean": resized_clean}[resize]
        self.trunk = _trunk(path).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        x = (self.resize(images.float()) - 128) / 128
        return self.trunk(x.contiguous(memory_format=torch.channels_last)).flatten(1)


def _trunk(path: Path) -> nn.Sequential:
    from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

    weights.read_state(path)  # torch-fidelity's own reading would run code that a file brings along
    try:
        network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold torch-fidelity's Inception v3: {str(error).splitlines()[0]}") from error
    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.add_module("conv", fuse_conv_bn_eval(module.conv, module.bn))
            module.add_module("bn", nn.Identity())
    first = network.Conv2d_1a_3x3.conv
    first.weight = nn.Parameter(first.weight.sum(dim=1, keepdim=True), requires_grad=False)
    return nn.Sequential(*(module for name, module in network.named_children() if name != "fc"))


def resized_as_tensorflow1(x: Tensor) -> Tensor:
    """Floats (B, 1, H, W) at 299 x 299: pixel i is at i * H / 299 of the input, as ``resize_bilinear`` had it."""
    rows, columns = (_bilinear_matrix(side).to(x.device) for side in x.shape[-2:])
    return rows @ x @ columns.T


def _bilinear_matrix(side: int) -> Tensor:
    """(299, side): weights of the two neighbours of each output pixel."""
    position = torch.arange(SIDE) * (torch.tensor(float(side)) / SIDE)
    below = position.floor().long()
    share = position - below
    matrix = torch.zeros(SIDE, side)
    matrix.scatter_add_(1, below[:, None], 1 - share[:, None])
    return matrix.scatter_add_(1, (below + 1).clamp(max=side - 1)[:, None], share[:, None])


def resized_clean(x: Tensor) -> Tensor:
    """Floats (B, 1, H, W), [0, 255], at 299 x 299 as Pillow resizes a float image, without rounding."""
    x = nn.functional.interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 255)
