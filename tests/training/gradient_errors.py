"""The same critic straightforward and fast, a batch for it, and how far apart gradients are."""

import copy

import torch

from mammogan.config import TrainConfig
from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.training.augment import augment
from mammogan.training.losses import Objective

PENALISED = Objective(gp_lambda=3.0)


def pair(size, head, dtype, readout="flat"):
    """The same critic, straightforward and fast."""
    frozen = random_frozen().to(dtype)
    plain = Critic(size, 8, frozen, head, readout).to(dtype)
    for name, bias in plain.named_parameters():
        if name.endswith("bias") and name.startswith(("trained", "readers")):
            torch.nn.init.normal_(bias, std=0.1)
    # a norm near 1 and an unsaturated sigmoid, where every term of the gradient counts
    plain.head.weight.data /= 3
    fast = copy.deepcopy(plain)
    fast.frozen = FoldedDenseNet(frozen)
    return plain, fast


def inputs(size, dtype, augmented):
    real, fake = torch.rand(2, 2, 1, size, size, dtype=dtype) * 2 - 1
    if augmented:
        real = augment(real.float(), TrainConfig(), torch.Generator()).to(dtype)
    return real, fake, torch.rand(2, 1, 1, 1, dtype=dtype)


def weight_gradients(network):
    return {name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad}


def relative_error(ours, reference):
    return ((ours - reference).norm() / reference.norm().clamp_min(1e-6)).item()


def whole(network):
    """All gradients of a network as one vector."""
    return torch.cat([gradient.flatten() for gradient in weight_gradients(network).values()])


def in_one_pass(taken):
    """What the fast step noted in the order of the straightforward one, which shows reals and fakes to f together."""
    count = next(i for i, gradient in enumerate(taken[1:], 1) if gradient.shape == taken[0].shape)
    of_real, of_fake, rest = taken[:count], taken[count : 2 * count], taken[2 * count :]
    return [torch.cat(both) for both in zip(of_real, of_fake, strict=True)] + rest


def errors(network, exact):
    """Error of every weight's gradient relative to its norm; of the head's bias to the terms that cancel in it."""
    wanted = weight_gradients(exact)
    return {
        name: (gradient.double() - wanted[name]).norm().item()
        / (1 if name == "head.bias" else wanted[name].norm().item())
        for name, gradient in weight_gradients(network).items()
    }
