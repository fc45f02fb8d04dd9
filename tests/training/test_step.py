"""The fast step against the straightforward one, quantity by quantity and weight by weight."""

import copy

import pytest
import torch

from mammogan.config import TrainConfig
from mammogan.models.critic import Critic
from mammogan.models.densenet import random_frozen
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import reference, step
from mammogan.training.augment import augment


def pair(size, head, dtype):
    """The same critic, straightforward and fast, with weights that differ from test run to test run."""
    frozen = random_frozen().to(dtype)
    plain = Critic(size, 8, frozen, head).to(dtype)
    for name, bias in plain.trained.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(bias, std=0.1)
    # a norm near 1 and an unsaturated sigmoid, where every term of the gradient counts
    plain.head.weight.data /= 3
    fast = copy.deepcopy(plain)
    fast.frozen = FoldedDenseNet(frozen)
    return plain, fast


def inputs(size, dtype, augmented):
    torch.seed()
    real, fake = torch.rand(2, 2, 1, size, size, dtype=dtype) * 2 - 1
    if augmented:
        real = augment(real.float(), TrainConfig(), torch.Generator()).to(dtype)
    return real, fake, torch.rand(2, 1, 1, 1, dtype=dtype)


def gradients(network):
    return {name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad}


def relative_error(ours, reference):
    return ((ours - reference).norm() / reference.norm().clamp_min(1e-6)).item()


def whole(network):
    """All gradients of a network as one vector."""
    return torch.cat([gradient.flatten() for gradient in gradients(network).values()])


CASES = [
    pytest.param(size, head, augmented, marks=[pytest.mark.slow] if size == 224 else [])
    for size in (56, 224)
    for head in ("linear", "sigmoid")
    for augmented in (False, True)
]


@pytest.mark.parametrize(("size", "head", "augmented"), CASES)
def test_critic_gradients_equal_the_straightforward_ones_in_float64(size, head, augmented):
    seed = torch.seed()
    plain, fast = pair(size, head, torch.float64)
    batch = inputs(size, torch.float64, augmented)
    expected = reference.critic_gradients(plain, *batch, gp_lambda=3.0)
    ours = step.critic_gradients(fast, *batch, gp_lambda=3.0)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    got, wanted = gradients(fast), gradients(plain)
    assert got.keys() == wanted.keys()
    for name in wanted:
        # the linear head's bias adds the same to every score and must not move
        assert (wanted[name].abs().max() > 1e-6) != (name == "head.bias" and head == "linear"), (name, seed)
        assert relative_error(got[name], wanted[name]) < 1e-10, (name, seed)


@pytest.mark.parametrize(("size", "head", "augmented"), CASES)
def test_critic_gradients_equal_the_straightforward_ones_in_float32(size, head, augmented):
    """Most draws agree to 2.5e-4, and all to 1e-2.

    Rounding may flip one of the millions of rectifiers at its kink, after which both are right on another linear
    piece: the straightforward step in float32 is itself up to 2.4e-4 away from its float64 self; no more can be asked.
    """
    errors = []
    for _ in range(3):
        plain, fast = pair(size, head, torch.float32)
        batch = inputs(size, torch.float32, augmented)
        expected = reference.critic_gradients(plain, *batch, gp_lambda=3.0)
        ours = step.critic_gradients(fast, *batch, gp_lambda=3.0)
        for one, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        errors.append(relative_error(whole(fast), whole(plain)))
    assert sorted(errors)[1] < 2.5e-4, errors
    assert max(errors) < 1e-2, errors


@pytest.mark.parametrize("head", ["linear", "sigmoid"])
def test_a_batch_in_pieces_gives_the_same_gradients(head):
    _, fast = pair(28, head, torch.float64)
    real, fake = torch.rand(2, 5, 1, 28, 28, dtype=torch.float64) * 2 - 1
    batch = (real, fake, torch.rand(5, 1, 1, 1, dtype=torch.float64), 3.0, None)
    expected = step.critic_gradients(fast, *batch)
    wanted = whole(fast)
    for pieces in (2, 3, 5):
        for one, other in zip(step.critic_gradients(fast, *batch, pieces), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        assert relative_error(whole(fast), wanted) < 1e-12


def test_given_features_of_the_reals_change_nothing():
    _, fast = pair(56, "linear", torch.float64)
    real, fake, alpha = inputs(56, torch.float64, augmented=False)
    alone = step.critic_gradients(fast, real, fake, alpha, 3.0)
    before = gradients(fast)
    given = step.critic_gradients(fast, real, fake, alpha, 3.0, fast.frozen_features(real))
    assert alone == given
    assert all(torch.equal(before[name], gradient) for name, gradient in gradients(fast).items())


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("head", ["linear", "sigmoid"])
def test_generator_gradients_equal_the_straightforward_ones(head, pieces):
    plain, fast = pair(56, head, torch.float64)
    generator = Generator(56, 10, 16).double()
    z = torch.randn(4, 10, dtype=torch.float64)
    expected = reference.generator_gradients(generator, plain, z)
    wanted = gradients(generator)
    ours = step.generator_gradients(generator, fast, generator(z), pieces)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for name, gradient in gradients(generator).items():
        assert relative_error(gradient, wanted[name]) < 1e-10
    assert all(gradient is None for gradient in (*gradients(plain).values(), *gradients(fast).values()))
