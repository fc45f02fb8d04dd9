"""The gradients of one critic update, exact and fast, with no synchronisation inside.

With a = w . [h, f] + b the logit, s the head's activation and g = grad s(a(x_hat)) = s'(a) J^T w, the penalty is
P = E[(||g|| - 1)^2]. Its derivative with respect to the critic's weights theta is that of u . g(theta), u = dP/dg held
fixed, and u . g = s'(a) w . J u. Both branches are piecewise linear, so J is one fixed matrix near x_hat. Hence:

    1. J^T w by one VJP of each branch, which gives g, the penalty and u in closed form;
    2. J u by one JVP: of the frozen branch without a graph, of the trained one with a graph to theta;
    3. one first-order backward of  -W + lambda * sum_i s'(a_i) w . J_i u_i.

No second derivative is taken. The frozen features of reals and fakes need no graph at all, and those of the reals
serve every update that reuses the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training.losses import generator_loss, interpolate, penalty_of_norms, sample_norms, wasserstein


def critic_gradients(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    alpha: Tensor,
    gp_lambda: float,
    real_features: Tensor | None = None,
    pieces: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``reference.critic_gradients``, for a critic with the folded frozen branch.

    ``real_features`` are ``critic.frozen_features(real)`` where the caller has them. The batch goes through in
    ``pieces`` one after the other, which needs less memory and, since the critic couples no samples, changes nothing.
    """
    if real_features is None:
        real_features = critic.frozen_features(real)
    weights = [weight for weight in critic.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) for weight in weights]
    distance, all_norms = real.new_zeros(()), []
    for piece in zip(*(tensor.chunk(pieces) for tensor in (real, fake, alpha, real_features)), strict=True):
        share = len(piece[0]) / len(real)
        piece_distance, surrogate, norms = _critic_terms(critic, *piece)
        found = torch.autograd.grad(share * (gp_lambda * surrogate - piece_distance), weights)
        torch._foreach_add_(gradients, found)
        distance += share * piece_distance.detach()
        all_norms.append(norms)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    norms = torch.cat(all_norms)
    return distance, penalty_of_norms(norms), norms.mean()


def generator_gradients(generator: Generator, critic: Critic, fake: Tensor, pieces: int = 1) -> Tensor:
    """As ``reference.generator_gradients``, from fakes that carry the generator's graph.

    BatchNorm couples the samples of the generator, so only the critic sees them in pieces.
    """
    images = fake.detach().requires_grad_(True)
    loss = images.new_zeros(())
    pulled = []
    for piece in images.chunk(pieces):
        piece_loss = generator_loss(critic(piece)) * (len(piece) / len(images))
        pulled += torch.autograd.grad(piece_loss, piece)
        loss += piece_loss.detach()
    weights = list(generator.parameters())
    found = torch.autograd.grad(fake, weights, torch.cat(pulled))
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
    return loss


def _critic_terms(
    critic: Critic, real: Tensor, fake: Tensor, alpha: Tensor, real_features: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Wasserstein distance and penalty surrogate, both with a graph to the weights, and the norms (B,)."""
    frozen = torch.cat([real_features, critic.frozen_features(fake)])
    scores = critic.activate(critic.logits(critic.trained(torch.cat([real, fake])), frozen))
    return wasserstein(*scores.chunk(2)), *_penalty_surrogate(critic, interpolate(real, fake, alpha))


def _penalty_surrogate(critic: Critic, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Scalar u . g, whose gradient with respect to the critic's weights is the penalty's, and the norms (B,)."""
    assert isinstance(critic.frozen, FoldedDenseNet)
    trained_weight, frozen_weight = critic.head_weights()
    x_hat = x_hat.detach().requires_grad_(True)
    trained, rectified = critic.trained.linearise(x_hat)
    frozen, path = critic.frozen.linearise(x_hat)
    slope = _head_slope(critic, trained, frozen)

    cotangent = trained_weight.detach().expand_as(trained)
    (gradient,) = torch.autograd.grad(trained, x_hat, cotangent, retain_graph=critic.sigmoid)
    gradient = gradient + critic.frozen.vjp(frozen_weight.detach().expand_as(frozen), path)
    gradient = gradient * slope.detach().view(-1, 1, 1, 1)

    norms = sample_norms(gradient)
    u = gradient * (2 / len(norms) * (1 - 1 / norms)).view(-1, 1, 1, 1)
    along_u = critic.trained.jvp(u, rectified) @ trained_weight
    along_u = along_u + critic.frozen.jvp(u, path).flatten(1) @ frozen_weight.flatten()
    return (slope * along_u).sum(), norms


def _head_slope(critic: Critic, trained: Tensor, frozen: Tensor) -> Tensor:
    """s'(a), (B,): 1 for the linear head; for the sigmoid with a graph to the weights."""
    if not critic.sigmoid:
        return trained.new_ones(len(trained))
    scores = torch.sigmoid(critic.logits(trained, frozen.flatten(1)))
    return scores * (1 - scores)
