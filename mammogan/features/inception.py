"""The Inception v3 of FID and KID (Szegedy et al. 2016, TensorFlow's weights of 2015) for grey images.

The network and its weights' file are torch-fidelity's. It is built here from the file alone, so that neither that
package nor torchvision is loaded. Four rewritings, exact up to rounding, make it several times as fast on a CPU: three
equal input channels become the sum of their weights, BatchNorm goes into the convolutions, activations are
channels_last, and the resize is two small matrix products. Resizing is part of a published number: ``tf1`` is
TensorFlow 1's bilinear one (Heusel et al. 2017; torch-fidelity), ``clean`` Pillow's antialiased bicubic one (Parmar et
al. 2022; clean-fid).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mammogan.features import weights

SIDE = 299
EPSILON = 1e-3
CLASSES = 1008
"""Of the last layer, which features do not need; torchvision's network, of the same names, has 1000."""

Chain = Sequence["str | Sequence[Chain]"]
POOLINGS = {
    "MEAN": nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
    "MAX": nn.MaxPool2d(3, stride=1, padding=1),
    "SHRINK": nn.MaxPool2d(3, stride=2),
}
# In a chain stand convolutions by their names in the file, poolings in capitals, and branches, whose maps are joined.
# The network of 2015 leaves the padding out of its means, and takes a maximum in its very last block.
DOUBLE = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
LONG = ("branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5")
A = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), DOUBLE, ("MEAN", "branch_pool"))
B = (("branch3x3",), DOUBLE, ("SHRINK",))
C = (("branch1x1",), ("branch7x7_1", "branch7x7_2", "branch7x7_3"), LONG, ("MEAN", "branch_pool"))
D = (("branch3x3_1", "branch3x3_2"), ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"), ("SHRINK",))
FORKED = (
    ("branch1x1",),
    ("branch3x3_1", (("branch3x3_2a",), ("branch3x3_2b",))),
    ("branch3x3dbl_1", "branch3x3dbl_2", (("branch3x3dbl_3a",), ("branch3x3dbl_3b",))),
)
E_1, E_2 = (*FORKED, ("MEAN", "branch_pool")), (*FORKED, ("MAX", "branch_pool"))
STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "SHRINK", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "SHRINK")
BLOCKS = {
    **dict.fromkeys(("Mixed_5b", "Mixed_5c", "Mixed_5d"), A),
    "Mixed_6a": B,
    **dict.fromkeys(("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"), C),
    "Mixed_7a": D,
    "Mixed_7b": E_1,
    "Mixed_7c": E_2,
}
UNPADDED_STRIDES = {
    "Conv2d_1a_3x3": 2,
    "Conv2d_2a_3x3": 1,
    "Conv2d_4a_3x3": 1,
    "Mixed_6a.branch3x3": 2,
    "Mixed_6a.branch3x3dbl_3": 2,
    "Mixed_7a.branch3x3_2": 2,
    "Mixed_7a.branch7x7x3_4": 2,
}
"""The other convolutions keep the size of their input."""


class Inception(nn.Module):
    """uint8 (B, 1, H, W) -> pool features (B, 2048), float32. Raises ValueError for a file of another network."""

    def __init__(self, path: Path, resize: Literal["tf1", "clean"]) -> None:
        super().__init__()
        self.resize = {"tf1": resized_as_tensorflow1, "clean": resized_clean}[resize]
        state = dict(weights.read_state(path))
        try:
            self.stem = _chain(STEM, state, "")
            self.blocks = nn.Sequential(*(_branches(chains, state, f"{name}.") for name, chains in BLOCKS.items()))
            classes = len(state.pop("fc.weight")), len(state.pop("fc.bias"))
        except (KeyError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{path} does not hold torch-fidelity's Inception v3: {error} is wrong") from error
        if state or classes != (CLASSES, CLASSES):
            odd = next(iter(state), f"{classes[0]} classes")
            raise ValueError(f"{path} does not hold torch-fidelity's Inception v3: {odd} is not in it")

    def forward(self, images: Tensor) -> Tensor:
        """Features of a batch."""
        x = ((self.resize(images.float()) - 128) / 128).contiguous(memory_format=torch.channels_last)
        # the stem's maps are by far the largest, and large enough to keep a core busy one image at a time
        together = 1 if x.device.type == "cpu" else len(x)
        return self.blocks(torch.cat([self.stem(some) for some in x.split(together)])).mean(dim=(-2, -1))


class Convolution(nn.Module):
    """(B, in, H, W) -> (B, out, h, w) by given weights: ``nn.Conv2d`` would first draw some, 21 million in all."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, padding: list[int]) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Maps of a batch."""
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class Branches(nn.ModuleList):
    """Chains that read the same maps (B, C, H, W); what they give is joined along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Joined maps."""
        return torch.cat([chain(x) for chain in self], dim=1)


def _branches(chains: Sequence[Chain], state: dict[str, Tensor], prefix: str) -> Branches:
    """Parallel chains; what they use is taken out of ``state``."""
    return Branches(_chain(chain, state, prefix) for chain in chains)


def _chain(chain: Chain, state: dict[str, Tensor], prefix: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for part in chain:
        if not isinstance(part, str):
            layers.append(_branches(part, state, prefix))
        elif part in POOLINGS:
            layers.append(POOLINGS[part])
        else:
            layers += [_convolution(prefix + part, state), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _convolution(name: str, state: dict[str, Tensor]) -> Convolution:
    """Convolution of the file with its BatchNorm folded in, and of one grey channel where the file's has three."""
    weight = state.pop(f"{name}.conv.weight")
    scale, shift, mean, variance = (
        state.pop(f"{name}.bn.{kind}") for kind in ("weight", "bias", "running_mean", "running_var")
    )
    state.pop(f"{name}.bn.num_batches_tracked", None)
    gain = scale / (variance + EPSILON).sqrt()
    weight = weight * gain.view(-1, 1, 1, 1)
    if name == STEM[0]:
        weight = weight.sum(dim=1, keepdim=True)
    padding = [0, 0] if name in UNPADDED_STRIDES else [side // 2 for side in weight.shape[2:]]
    return Convolution(weight, shift - mean * gain, UNPADDED_STRIDES.get(name, 1), padding)


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
