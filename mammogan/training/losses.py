"""Wasserstein losses and the gradient penalty (Gulrajani et al. 2017, algorithm 1), and the hinge loss.

    critic:     L_D = A + lambda * E[(||grad D(x_hat)||_2 - 1)^2]
                A = E[D(G(z))] - E[D(x)], or the hinge E[max(0, 1 + D(G(z)))] + E[max(0, 1 - D(x))]
    generator:  L_G = -E[D(G(z))]
    x_hat = x + alpha * (G(z) - x), alpha ~ U(0, 1), one per sample

The hinge is that of Lim and Ye (2017), which a critic on projected features uses without a penalty, lambda = 0 (Sauer
et al. 2021). This is the straightforward form, and the reference for the fast one in ``gradients``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-12


def wasserstein(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[D(x)] - E[D(G(z))], the critic's estimate of the distance, from scores (B,)."""
    return real_scores.mean() - fake_scores.mean()


def hinge(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))], from scores (B,)."""
    return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()


@dataclass(frozen=True)
class Objective:
    """What the critic minimises."""

    gp_lambda: float
    """Weight of the gradient penalty; 0 leaves it out."""
    loss: Literal["wasserstein", "hinge"] = "wasserstein"
    """Which A of the module's text."""

    def adversarial(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """A, a scalar, from scores (B,)."""
        return hinge(real_scores, fake_scores) if self.loss == "hinge" else -wasserstein(real_scores, fake_scores)


class CriticMeasures(NamedTuple):
    """What one critic update was, detached scalars; penalty and norm are 0 where lambda is, and so none is computed."""

    wasserstein: Tensor
    penalty: Tensor
    loss: Tensor
    """L_D."""
    gradient_norm: Tensor
    """Mean of the norms that the penalty drives to 1."""


def generator_loss(fake_scores: Tensor) -> Tensor:
    """-E[D(G(z))], from scores (B,)."""
    return -fake_scores.mean()


def interpolate(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """x_hat between each real and its fake; alpha (B, 1, 1, 1) in [0, 1]."""
    return torch.lerp(real, fake, alpha)


def sample_norms(gradient: Tensor) -> Tensor:
    """Euclidean norm of each sample's gradient: (B, ...) -> (B,); differentiable at 0 through an epsilon."""
    return (gradient.flatten(1).square().sum(dim=1) + EPSILON).sqrt()


def penalty_of_norms(norms: Tensor) -> Tensor:
    """E[(norm - 1)^2] of norms (B,)."""
    return (norms - 1).square().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Penalty, a scalar with a graph to the critic's weights, and the detached norms (B,), at x_hat (B, 1, H, W)."""
    x_hat = x_hat.detach().requires_grad_(True)
    scores = critic(x_hat)
    (gradient,) = torch.autograd.grad(scores.sum(), x_hat, create_graph=True)
    norms = sample_norms(gradient)
    return penalty_of_norms(norms), norms.detach()
