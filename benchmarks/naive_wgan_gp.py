"""A WGAN-GP for the paper's networks in plain PyTorch, as one would write it first: the baseline of ``gpu.py``.

Layers, shapes and losses are those of ``mammogan.models`` with a linear head and the readout ``flat``, of which nothing
is used here. Nothing is folded or shared: torchvision's DenseNet121 sees three equal channels, the critic sees fakes,
reals and interpolates in a pass each, and autograd differentiates the penalty twice.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import densenet121

LATENT_DIM = 100
LEAK = 0.2


def _halvings(size: int) -> int:
    return round(math.log2(size / 7))


class Generator(nn.Module):
    """z (B, 100) -> (B, 1, size, size), [-1, 1]."""

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = [max(256 >> i, 32) for i in range(_halvings(size))]
        self.dense = nn.Linear(LATENT_DIM, widths[0] * 49, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.LeakyReLU(LEAK)]
        for wide, narrow in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow)]
            layers += [nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        """Images."""
        return self.layers(self.dense(z).unflatten(1, (-1, 7, 7)))


class Residual(nn.Module):
    """(B, in, H, W) -> (B, out, H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, 2, 1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Half as large maps."""
        inner = self.conv2(functional.leaky_relu(self.conv1(x), LEAK))
        return functional.leaky_relu((inner + self.skip(functional.avg_pool2d(x, 2))) * 0.5**0.5, LEAK)


class Critic(nn.Module):
    """(B, 1, size, size), [-1, 1] -> scores (B,)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = [min(32 << i, 256) for i in range(_halvings(size))]
        blocks = [Residual(few, many) for few, many in itertools.pairwise(widths)]
        self.trained = nn.Sequential(nn.Conv2d(1, widths[0], 5, 2, 2), nn.LeakyReLU(LEAK), *blocks)
        features = densenet121(weights=None).features
        for name in list(features.denseblock2)[4:]:
            del features.denseblock2[name]
        self.frozen = nn.Sequential(*list(features.children())[:7]).requires_grad_(False).eval()
        self.head = nn.Linear(widths[-1] * 49 + 256 * (size // 8) ** 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        maps = self.trained(x), self.frozen(x.expand(-1, 3, -1, -1))
        return self.head(torch.cat([part.flatten(1) for part in maps], dim=1)).squeeze(1)


def critic_step(
    generator: Generator, critic: Critic, optimiser: torch.optim.Optimizer, real: Tensor, gp_lambda: float
) -> Tensor:
    """One critic update on reals (B, 1, H, W); returns L_D."""
    with torch.no_grad():
        fake = generator(torch.randn(len(real), LATENT_DIM, device=real.device))
    alpha = torch.rand(len(real), 1, 1, 1, device=real.device)
    x_hat = (alpha * fake + (1 - alpha) * real).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    penalty = ((gradient.flatten(1).norm(2, 1) - 1) ** 2).mean()
    loss = critic(fake).mean() - critic(real).mean() + gp_lambda * penalty
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss


def generator_step(generator: Generator, critic: Critic, optimiser: torch.optim.Optimizer, batch: int) -> Tensor:
    """One generator update; returns L_G. Gradients of the critic pile up, and are never used."""
    device = next(generator.parameters()).device
    loss = -critic(generator(torch.randn(batch, LATENT_DIM, device=device))).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss
