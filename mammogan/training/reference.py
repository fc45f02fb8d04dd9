"""The straightforward gradients of one update, as the paper writes them: the reference for ``gradients``.

No deliberate waste: reals and fakes share one pass, and the critic's update does not reach into the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mammogan.models.critic import Critic
from mammogan.models.generator import Generator
from mammogan.training.losses import (
    CriticMeasures,
    Objective,
    generator_loss,
    gradient_penalty,
    interpolate,
    wasserstein,
)


def critic_gradients(critic: Critic, real: Tensor, fake: Tensor, alpha: Tensor, objective: Objective) -> CriticMeasures:
    """Set the critic's gradients to those of L_D.

    Real and fake (B, 1, H, W) carry no graph. The critic must be twice differentiable, that is hold the unfolded
    frozen branch.
    """
    real_scores, fake_scores = critic(torch.cat([real, fake])).chunk(2)
    loss = objective.adversarial(real_scores, fake_scores)
    penalty, norms = loss.new_zeros(()), loss.new_zeros(1)
    if objective.gp_lambda:
        penalty, norms = gradient_penalty(critic, interpolate(real, fake, alpha))
        loss = loss + objective.gp_lambda * penalty
    _set_gradients(critic, loss)
    distance = wasserstein(real_scores, fake_scores)
    return CriticMeasures(distance.detach(), penalty.detach(), loss.detach(), norms.mean())


def generator_gradients(generator: Generator, critic: Critic, z: Tensor) -> Tensor:
    """Set the generator's gradients to those of L_G, leave the critic's alone; returns L_G, a scalar."""
    loss = generator_loss(critic(generator(z)))
    _set_gradients(generator, loss)
    return loss.detach()


def _set_gradients(module: nn.Module, loss: Tensor) -> None:
    """Replace the gradients of a network's weights by those of ``loss``, and of no other network's."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
