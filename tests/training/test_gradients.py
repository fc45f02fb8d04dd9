"""The fast step against the straightforward one, quantity by quantity and weight by weight."""

import copy
import itertools

import pytest
import torch
from gradient_errors import PENALISED, errors, in_one_pass, inputs, pair, relative_error, weight_gradients, whole
from linear_piece import Recorded, Replayed

from mammogan.models.generator import Generator
from mammogan.training import gradients, reference
from mammogan.training.losses import Objective


@pytest.fixture(autouse=True)
def _fresh_draw():
    print(f"torch.manual_seed({torch.seed()}) gives this draw again")  # shown where the test fails


def case(size, *rest):
    marks = () if size == 56 else pytest.mark.long  # at 224 each takes many seconds
    return pytest.param(size, *rest, marks=marks)


CASES = [
    case(*values)
    for values in itertools.product((56, 224), ("flat", "projected"), ("linear", "sigmoid"), (False, True))
]


@pytest.mark.parametrize(("size", "readout", "head", "augmented"), CASES)
def test_critic_gradients_equal_the_straightforward_ones_in_float64(size, readout, head, augmented):
    plain, fast = pair(size, head, torch.float64, readout)
    batch = inputs(size, torch.float64, augmented)
    expected = reference.critic_gradients(plain, *batch, PENALISED)
    ours = gradients.critic_gradients(fast, *batch, PENALISED)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    got, wanted = weight_gradients(fast), weight_gradients(plain)
    assert got.keys() == wanted.keys()
    for name in wanted:
        # the linear head's bias adds the same to every score and must not move
        assert (wanted[name].abs().max() > 1e-6) != (name == "head.bias" and head == "linear"), name
        assert relative_error(got[name], wanted[name]) < 1e-10, name


@pytest.mark.parametrize("objective", [Objective(0, "hinge"), Objective(2, "hinge"), Objective(0)], ids=str)
@pytest.mark.parametrize("readout", ["flat", "projected"])
def test_other_objectives_equal_the_straightforward_ones(readout, objective):
    plain, fast = pair(28, "linear", torch.float64, readout)
    batch = inputs(28, torch.float64, augmented=False)
    expected = reference.critic_gradients(plain, *batch, objective)
    for one, other in zip(gradients.critic_gradients(fast, *batch, objective, None, 2), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    for name, wanted in weight_gradients(plain).items():
        assert relative_error(weight_gradients(fast)[name], wanted) < 1e-10, name


@pytest.mark.parametrize(("size", "readout", "head", "augmented"), CASES)
def test_float32_agrees_to_1e_4_with_the_straightforward_step_in_float64(size, readout, head, augmented):
    """Measures and every weight's gradient, of either step, on the linear piece that float32 was on.

    Rounding flips a few of millions of rectifiers at their kink, in either step, and that moves the gradient of some
    weights by up to 1e-2; so float64 is held to float32's piece, and what that took must be rounding.
    """
    plain, fast = pair(size, head, torch.float32, readout)
    batch = inputs(size, torch.float32, augmented)
    for way, network in ((gradients, fast), (reference, plain)):
        exact = copy.deepcopy(plain).double()
        with Recorded() as recorded:
            measures = way.critic_gradients(network, *batch, PENALISED)
        taken = recorded.taken if way is reference else in_one_pass(recorded.taken)
        with Replayed(taken) as replayed:
            wanted = reference.critic_gradients(exact, *(tensor.double() for tensor in batch), PENALISED)
        assert not replayed.left
        assert len(replayed.moved) < 1e-5 * replayed.units
        assert max(replayed.moved, default=0) < 1e-4
        for one, other in zip(measures, wanted, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
        deviations = errors(network, exact)
        assert deviations.keys() == weight_gradients(network).keys()
        assert max(deviations.values()) < 1e-4, (way.__name__, deviations)


def test_a_planted_tie_is_seen_and_decided_as_noted():
    """Two equal largest values in a window, overlapping others: which one wins is noted, and replayed after a nudge."""
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 3, 3] = x[0, 0, 3, 4] = 1.0
    pool = torch.nn.MaxPool2d(3, 2, 1)
    with Recorded() as recorded:
        pool(x)
    assert recorded.taken[0].shape == (1, 1, 4, 4)
    nudged = x.double().requires_grad_(True)
    with torch.no_grad():
        nudged[0, 0, 3, 4] += 1e-9
    with Replayed(recorded.taken) as replayed:
        (gradient,) = torch.autograd.grad(pool(nudged).sum(), nudged)
    assert replayed.moved == pytest.approx([1e-9], rel=1e-2)
    (expected,) = torch.autograd.grad(pool(x.requires_grad_(True)).sum(), x)
    assert torch.equal(gradient, expected.double())
    (alone,) = torch.autograd.grad(pool(nudged).sum(), nudged)
    assert not torch.equal(alone, expected.double())


@pytest.mark.parametrize("head", ["linear", "sigmoid"])
@pytest.mark.parametrize("readout", ["flat", "projected"])
def test_a_batch_in_pieces_gives_the_same_gradients(readout, head):
    _, fast = pair(28, head, torch.float64, readout)
    real, fake = torch.rand(2, 5, 1, 28, 28, dtype=torch.float64) * 2 - 1
    batch = (real, fake, torch.rand(5, 1, 1, 1, dtype=torch.float64), PENALISED, None)
    expected = gradients.critic_gradients(fast, *batch)
    wanted = whole(fast)
    for pieces in (2, 3, 5):
        for one, other in zip(gradients.critic_gradients(fast, *batch, pieces), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        assert relative_error(whole(fast), wanted) < 1e-12


@pytest.mark.parametrize("readout", ["flat", "projected"])
def test_given_maps_of_the_reals_change_nothing(readout):
    _, fast = pair(56, "linear", torch.float64, readout)
    real, fake, alpha = inputs(56, torch.float64, augmented=False)
    alone = gradients.critic_gradients(fast, real, fake, alpha, PENALISED)
    before = weight_gradients(fast)
    given = gradients.critic_gradients(fast, real, fake, alpha, PENALISED, fast.frozen_maps(real))
    assert alone == given
    assert all(torch.equal(before[name], gradient) for name, gradient in weight_gradients(fast).items())


@pytest.mark.parametrize(
    ("size", "readout", "head", "pieces"),
    [
        *itertools.product((56,), ("flat", "projected"), ("linear", "sigmoid"), (1, 3)),
        pytest.param(224, "flat", "sigmoid", 1, marks=pytest.mark.long),
        pytest.param(224, "projected", "linear", 2, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_generator_gradients_equal_the_straightforward_ones(size, readout, head, pieces):
    plain, fast = pair(size, head, torch.float64, readout)
    generator = Generator(size, 10, 16).double()
    z = torch.randn(4 if size == 56 else 2, 10, dtype=torch.float64)
    expected = reference.generator_gradients(generator, plain, z)
    wanted = weight_gradients(generator)
    ours = gradients.generator_gradients(generator, fast, generator(z), pieces)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for name, gradient in weight_gradients(generator).items():
        assert relative_error(gradient, wanted[name]) < 1e-10
    assert all(gradient is None for gradient in (*weight_gradients(plain).values(), *weight_gradients(fast).values()))


@pytest.mark.parametrize(
    ("size", "readout", "head"),
    [
        *itertools.product((56,), ("flat", "projected"), ("linear", "sigmoid")),
        pytest.param(224, "flat", "sigmoid", marks=pytest.mark.slow),
        pytest.param(224, "projected", "linear", marks=pytest.mark.long),
    ],
)
def test_generator_float32_agrees_to_1e_4_on_the_same_linear_piece(size, readout, head):
    plain, fast = pair(size, head, torch.float32, readout)
    generator = Generator(size, 10, 16)
    exact_plain, exact = copy.deepcopy(plain).double(), copy.deepcopy(generator).double()
    z = torch.randn(2, 10)
    with Recorded() as recorded:
        ours = gradients.generator_gradients(generator, fast, generator(z))
    with Replayed(recorded.taken) as replayed:
        expected = reference.generator_gradients(exact, exact_plain, z.double())
    assert not replayed.left
    assert max(replayed.moved, default=0) < 1e-4
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)
    wanted = weight_gradients(exact)
    for name, gradient in weight_gradients(generator).items():
        beside = wanted[name.replace("bias", "weight")]  # the same terms make a bias's gradient, and may cancel in it
        scale = max(wanted[name].norm(), beside.norm())
        assert (gradient.double() - wanted[name]).norm() < 1e-4 * scale, name
