"""The gradients of one critic update, exact and fast, with no synchronisation inside.

With a = w . [h, r(f)] + b the logit, s the head's activation and g = grad s(a(x_hat)) = s'(a) J^T 1, J = da/dx, the
penalty is P = E[(||g|| - 1)^2]. Its derivative with respect to the critic's weights theta is that of u . g(theta),
u = dP/dg held fixed, and u . g = s'(a) J u. Both branches and the readers are piecewise linear, so J is one fixed
matrix near x_hat. Hence:

    1. J^T 1 by one VJP of every part, which gives g, the penalty and u in closed form;
    2. J u by one JVP: of the frozen branch without a graph, of the trained parts with a graph to theta;
    3. one first-order backward of  A + lambda * sum_i s'(a_i) J_i u_i,  A the adversarial loss.

No second derivative is taken. The frozen maps of reals and fakes need no graph at all, and those of the reals serve
every update that reuses the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training.losses import (
    CriticMeasures,
    Objective,
    generator_loss,
    interpolate,
    penalty_of_norms,
    sample_norms,
    wasserstein,
)


def critic_gradients(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    alpha: Tensor,
    objective: Objective,
    real_maps: tuple[Tensor, ...] | None = None,
    micro_batches: int = 1,
) -> CriticMeasures:
    """As ``reference.critic_gradients``, for a critic with the folded frozen branch.

    ``real_maps`` are ``critic.frozen_maps(real)`` where the caller has them. The batch goes through in
    ``micro_batches`` parts, one after the other, which needs less memory and, since the critic couples no samples,
    changes nothing.
    """
    if real_maps is None:
        real_maps = critic.frozen_maps(real)
    weights = [weight for weight in critic.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) for weight in weights]
    totals, all_norms = real.new_zeros(2), []
    for micro_batch in zip(*(tensor.chunk(micro_batches) for tensor in (real, fake, alpha, *real_maps)), strict=True):
        share = len(micro_batch[0]) / len(real)
        loss, measures, norms = _micro_batch_terms(critic, objective, *micro_batch)
        torch._foreach_add_(gradients, torch.autograd.grad(share * loss, weights))
        totals += share * measures
        all_norms.append(norms)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    distance, adversarial = totals
    norms = torch.cat(all_norms)
    penalty = penalty_of_norms(norms) if objective.gp_lambda else norms.new_zeros(())
    return CriticMeasures(distance, penalty, adversarial + objective.gp_lambda * penalty, norms.mean())


def generator_gradients(generator: Generator, critic: Critic, fake: Tensor, micro_batches: int = 1) -> Tensor:
    """As ``reference.generator_gradients``, from fakes that carry the generator's graph.

    BatchNorm couples the samples of the generator, so only the critic sees them in micro_batches.
    """
    images = fake.detach().requires_grad_(True)
    loss = images.new_zeros(())
    pulled = []
    for micro_batch in images.chunk(micro_batches):
        micro_batch_loss = generator_loss(critic(micro_batch)) * (len(micro_batch) / len(images))
        pulled += torch.autograd.grad(micro_batch_loss, micro_batch)
        loss += micro_batch_loss.detach()
    weights = list(generator.parameters())
    gradients = torch.autograd.grad(fake, weights, torch.cat(pulled))
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    return loss


def _micro_batch_terms(
    critic: Critic, objective: Objective, real: Tensor, fake: Tensor, alpha: Tensor, *real_maps: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Scalar whose gradient is L_D's, with its graph; (wasserstein, adversarial loss), (2,); and the norms (B,)."""
    maps = [torch.cat(pair) for pair in zip(real_maps, critic.frozen_maps(fake), strict=True)]
    scores = critic.scores([torch.cat([real, fake]), *maps]).chunk(2)
    loss = adversarial = objective.adversarial(*scores)
    norms = real.new_zeros(len(real))
    if objective.gp_lambda:
        surrogate, norms = _penalty_surrogate(critic, interpolate(real, fake, alpha))
        loss = loss + objective.gp_lambda * surrogate
    return loss, torch.stack([wasserstein(*scores), adversarial]).detach(), norms


def _penalty_surrogate(critic: Critic, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Scalar u . g, whose gradient with respect to the critic's weights is the penalty's, and the norms (B,)."""
    assert isinstance(critic.frozen, FoldedDenseNet)
    x_hat = x_hat.detach().requires_grad_(True)
    feature_maps, pattern = critic.frozen.linearise(x_hat)
    inputs = [x_hat, *(tensor.requires_grad_(True) for tensor in critic.read(feature_maps))]
    logits, rectified = critic.linearise(inputs)
    slope = critic.slope(logits)

    gradient, *pulled = torch.autograd.grad(logits.sum(), inputs, retain_graph=critic.sigmoid)
    gradient = gradient + critic.frozen.vjp(pulled, pattern)
    gradient = gradient * slope.detach().view(-1, 1, 1, 1)

    norms = sample_norms(gradient)
    u = gradient * (2 / len(norms) * (1 - 1 / norms)).view(-1, 1, 1, 1)
    along_u = critic.jvp([u, *critic.read(critic.frozen.jvp(u, pattern))], rectified)
    return (slope * along_u).sum(), norms
