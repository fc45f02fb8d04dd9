"""Learned perceptual distance over all pairs of images (LPIPS v0.1 with AlexNet, Zhang et al. 2018).

LPIPS(x, y) = sum over layers l of mean over positions of sum over channels c of w_lc (f_lc(x) - f_lc(y))^2, with f the
activations scaled to unit length at each position and w >= 0. That is a squared Euclidean distance |phi(x) - phi(y)|^2
of phi = sqrt(w / positions) f. So means over *all* pairs need no pairs: with s = sum of phi and q = sum of |phi|^2 over
n images (and t, r over m others),

    mean over i, j    of |phi(x_i) - phi(y_j)|^2 = q/n + r/m - 2 s.t / (n m)
    mean over i != j  of |phi(x_i) - phi(x_j)|^2 = 2 (n q - |s|^2) / (n (n - 1)).

Images, or patients with all theirs, are dealt into blocks and s and q kept for each block, so that the jackknife can
leave one out at a time.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mammogan import console, storage
from mammogan.device import float32_convolutions
from mammogan.features import weights as weights_files
from mammogan.features.parallel_batches import map_batches
from mammogan.image_tensors import enlarged
from mammogan.statistics import Estimate, Floats, Ints, Variance, cluster_blocks, combine, jackknife

CPU = torch.device("cpu")
BLOCKS = 20
TRUNK_FILE = "alexnet-owt-7be5be79.pth"
"""torchvision's ImageNet AlexNet, as torch's hub cache names it."""
# (index in torchvision's AlexNet, channels in, channels out, kernel, stride, padding), Krizhevsky 2014
CONVOLUTIONS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
POOLED_BEFORE = (3, 6)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
SMALLEST_SIDE = 31
"""Below, nothing is left after AlexNet's second pooling."""
ENLARGED_SIDE = 64
RANDOM_SEED = 0


class AlexNetDistance(nn.Module):
    """phi: grey images (B, 1, H, W), float32, [-1, 1] -> (B, D), float32, so that LPIPS = |phi(x) - phi(y)|^2."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(wide_in, wide_out, kernel, stride, padding)
            for _, wide_in, wide_out, kernel, stride, padding in CONVOLUTIONS
        )
        self.channel_weights = nn.ParameterList(torch.ones(wide_out) / wide_out for _, _, wide_out, *_ in CONVOLUTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the scaled activations of the five layers."""
        shift, scale = (x.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
        x = (x - shift) / scale
        parts = []
        for (index, *_), convolution, weights in zip(
            CONVOLUTIONS, self.convolutions, self.channel_weights, strict=True
        ):
            if index in POOLED_BEFORE:
                x = nn.functional.max_pool2d(x, kernel_size=3, stride=2)
            x = convolution(x).relu()
            unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)
            positions = x.shape[-2] * x.shape[-1]
            parts.append((unit * (weights.view(1, -1, 1, 1) / positions).sqrt()).flatten(1))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Perceptual:
    """A perceptual embedding and where its weights come from."""

    name: str
    """``lpips``, or ``lpips_random`` for random weights: the first part of the metric's key."""
    sha256: str
    """Of the weights' file, or of the random weights themselves."""
    note: str
    """What to know about the weights, in a sentence."""
    embed: Callable[[Tensor], Tensor]
    """uint8 (B, 1, H, W) -> phi (B, D), float32."""
    device: torch.device = CPU
    """Where the network is."""


def load_perceptual(weights: str, device: torch.device, expected: str = "") -> Perceptual:
    """LPIPS of the file ``weights``; empty takes torchvision's AlexNet of the hub cache and the lpips package's heads.

    Where there is no such trunk the weights are random, of fixed seed, under the name ``lpips_random``.
    ``expected`` is the file's sha256; empty takes any. Raises FileNotFoundError for a file that is missing and
    ValueError for one that does not hold LPIPS AlexNet v0.1, or has another sha256.
    """
    if weights:
        path = storage.fetch(weights, expected)
        model, note = _from_state(weights_files.read_state(path), str(path)), f"AlexNet LPIPS v0.1 from {path.name}"
        name, sha256 = "lpips", storage.sha256_of(path)
    elif (trunk := weights_files.in_hub_cache(TRUNK_FILE)).is_file():
        heads = _heads_file()
        model, note = (
            _from_state(
                {**_named_as_lpips(weights_files.read_state(trunk)), **weights_files.read_state(heads)}, str(trunk)
            ),
            "AlexNet LPIPS v0.1",
        )
        name, sha256 = "lpips", storage.sha256_of(trunk)
    else:
        model, name, note = (
            _random(),
            "lpips_random",
            "random AlexNet of fixed seed: no LPIPS weights were given or found",
        )
        sha256 = weights_files.sha256_of_state(model)
    model.to(device).eval().requires_grad_(False)
    return Perceptual(name, sha256, note, _embedding(model, device), device)


def _embedding(model: AlexNetDistance, device: torch.device) -> Callable[[Tensor], Tensor]:
    @torch.inference_mode()
    @float32_convolutions()
    def embed(images: Tensor) -> Tensor:
        return model(enlarged(images.to(device).float() / 127.5 - 1, SMALLEST_SIDE, ENLARGED_SIDE))

    return embed


def _heads_file() -> Path:
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("evaluate.lpips_weights='': install lpips for its heads, or give a full LPIPS file")
    return Path(spec.submodule_search_locations[0], "weights", "v0.1", "alex.pth")


def _named_as_lpips(trunk: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"net.slice{layer + 1}.{index}.{kind}": trunk[f"features.{index}.{kind}"]
        for layer, (index, *_) in enumerate(CONVOLUTIONS)
        for kind in ("weight", "bias")
    }


def _from_state(state: Mapping[str, Tensor], origin: str) -> AlexNetDistance:
    model = AlexNetDistance()
    try:
        for layer, (index, *_) in enumerate(CONVOLUTIONS):
            prefix = f"net.slice{layer + 1}.{index}"
            model.convolutions[layer].load_state_dict({kind: state[f"{prefix}.{kind}"] for kind in ("weight", "bias")})
            model.channel_weights[layer].data.copy_(state[f"lin{layer}.model.1.weight"].flatten())
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(f"{origin} does not hold LPIPS AlexNet v0.1: {error}") from error
    if any((weights < 0).any() for weights in model.channel_weights):
        raise ValueError(f"{origin} holds negative channel weights, which LPIPS v0.1 does not have")
    return model


def _random() -> AlexNetDistance:
    rng = torch.Generator().manual_seed(RANDOM_SEED)
    model = AlexNetDistance()
    for convolution in model.convolutions:
        weight = convolution.get_parameter("weight").data
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=rng)
        convolution.get_parameter("bias").data.zero_()
    return model


@dataclass(frozen=True)
class Embedded:
    """Sums of phi over blocks of images, all that the means over pairs need."""

    sizes: Floats
    """(G,): images of each block."""
    sums: Tensor
    """(G, D), float32: sum of phi over the block."""
    squares: Floats
    """(G,): sum of |phi|^2 over the block."""


def embedded(
    perceptual: Perceptual,
    images: Tensor,
    batch_size: int,
    advance: console.Advance = console.no_progress,
    patients: Ints | None = None,
) -> Embedded:
    """Embed uint8 ``images`` (N, 1, H, W) batch by batch; memory is that of a batch and 20 block sums.

    ``patients`` (N,) numbers the patient of each image, whose images are dealt into one block.
    """
    blocks = cluster_blocks(np.arange(len(images)) if patients is None else patients, BLOCKS)
    block_of = torch.empty(len(images), dtype=torch.long)
    for number, block in enumerate(blocks):
        block_of[torch.from_numpy(block)] = number
    sums, squares, done = None, np.zeros(len(blocks)), 0
    for phi in map_batches(perceptual.embed, images, batch_size, perceptual.device):
        member = block_of[done : done + len(phi)]
        done += len(phi)
        sums = phi.new_zeros(len(blocks), phi.shape[1]) if sums is None else sums
        sums.index_add_(0, member.to(phi.device), phi)
        np.add.at(squares, member.numpy(), [_square(row) for row in phi])
        advance(len(phi))
    if sums is None:
        raise ValueError("images=0: give at least 1")
    return Embedded(np.array([float(len(block)) for block in blocks]), sums, squares)


def _square(row: Tensor) -> float:
    """|phi|^2 of one image in float64; of a whole batch at once it would be the largest tensor of an evaluation."""
    row = row.double()
    return float(row @ row)


def mean_between(x: Embedded, y: Embedded, confidence: float) -> Estimate:
    """Mean LPIPS over all pairs of an image of ``x`` and one of ``y``, with its interval."""
    products = _gram(x.sums, y.sums)

    def mean(x_kept: Floats, y_kept: Floats) -> float:
        n, m = x_kept @ x.sizes, y_kept @ y.sizes
        return x_kept @ x.squares / n + y_kept @ y.squares / m - 2 * (x_kept @ products @ y_kept) / (n * m)

    all_x, all_y = np.ones(len(x.sizes)), np.ones(len(y.sizes))
    value = float(mean(all_x, all_y))
    if min(len(all_x), len(all_y)) < 2:
        return Estimate(value, None, None)
    parts = [
        _left_out(value, x.sizes, lambda kept: mean(kept, all_y)),
        _left_out(value, y.sizes, lambda kept: mean(all_x, kept)),
    ]
    return combine(value, parts, confidence, least=0)


def mean_within(x: Embedded, confidence: float) -> Estimate:
    """Mean LPIPS over all pairs of two images of ``x``, with its interval. Raises ValueError for fewer than 2."""
    products = _gram(x.sums, x.sums)

    def mean(kept: Floats) -> float:
        n = kept @ x.sizes
        return 2 * (n * (kept @ x.squares) - kept @ products @ kept) / (n * (n - 1))

    count = int(x.sizes.sum())
    if count < 2:
        raise ValueError(f"images={count}: a mean over pairs needs at least 2")
    value = float(mean(np.ones(len(x.sizes))))
    if len(x.sizes) < 2 or count - x.sizes.max() < 2:
        return Estimate(value, None, None)
    return combine(value, [_left_out(value, x.sizes, mean)], confidence, least=0)


def _left_out(value: float, sizes: Floats, mean: Callable[[Floats], float]) -> Variance:
    without = np.array([mean(kept) for kept in 1 - np.eye(len(sizes))])
    return jackknife(value, without, sizes.astype(np.int64))


def _gram(x: Tensor, y: Tensor) -> Floats:
    """Inner products (G, H) in float64, a slice of D at a time so that no float64 copy of the sums is made."""
    step = max(1, math.ceil(x.shape[1] / 16))
    slices = range(0, x.shape[1], step)
    parts = (x[:, first : first + step].double() @ y[:, first : first + step].double().T for first in slices)
    return torch.stack(list(parts)).sum(dim=0).cpu().numpy()
