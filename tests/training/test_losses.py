import pytest
import torch

from mammogan.training.losses import (
    Objective,
    generator_loss,
    gradient_penalty,
    hinge,
    interpolate,
    penalty_of_norms,
    sample_norms,
    wasserstein,
)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_linear_critic_has_the_closed_form_penalty(rng):
    weight = torch.randn(1, 28, 28, generator=rng, dtype=torch.float64)
    x_hat = torch.randn(5, 1, 28, 28, generator=rng, dtype=torch.float64)
    penalty, norms = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)), x_hat)
    expected = weight.norm()
    torch.testing.assert_close(norms, expected.expand(5), rtol=1e-12, atol=0)
    torch.testing.assert_close(penalty.detach(), (expected - 1) ** 2, rtol=1e-12, atol=0)


def test_quadratic_critic_has_the_closed_form_penalty_gradient(rng):
    # D(x) = a/2 |x|^2 has gradient a x: the penalty is E[(a |x| - 1)^2], its derivative E[2 (a |x| - 1) |x|]
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x_hat = torch.randn(6, 1, 7, 7, generator=rng, dtype=torch.float64)
    penalty, _ = gradient_penalty(lambda x: a / 2 * x.square().sum(dim=(1, 2, 3)), x_hat)
    lengths = x_hat.flatten(1).norm(dim=1)
    (slope,) = torch.autograd.grad(penalty, a)
    torch.testing.assert_close(slope, (2 * (0.3 * lengths - 1) * lengths).mean(), rtol=1e-12, atol=0)


def test_a_flat_critic_has_penalty_one_and_a_finite_gradient():
    scale = torch.zeros((), requires_grad=True)
    penalty, _ = gradient_penalty(lambda x: scale * x.sum(dim=(1, 2, 3)), torch.ones(2, 1, 4, 4))
    (slope,) = torch.autograd.grad(penalty, scale)
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(slope)


def test_norms_are_per_sample():
    gradient = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])
    torch.testing.assert_close(sample_norms(gradient), torch.tensor([2.0, 6.0]))
    torch.testing.assert_close(penalty_of_norms(torch.tensor([2.0, 6.0])), torch.tensor((1 + 25) / 2))


def test_interpolation_runs_from_real_to_fake():
    real, fake = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    mixed = interpolate(real, fake, torch.tensor([0.0, 0.25, 1.0]).view(3, 1, 1, 1))
    assert mixed[:, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]


def test_signs():
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 2.0])
    assert wasserstein(real, fake) == 2.5
    assert generator_loss(fake) == -1.5


def test_hinge_is_zero_beyond_the_margins_and_a_mean_within():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.5, -1.0])
    torch.testing.assert_close(hinge(real, fake), torch.tensor(0.5 / 2 + 1.5 / 3))
    torch.testing.assert_close(Objective(0.0, "hinge").adversarial(real, fake), torch.tensor(0.75))
    torch.testing.assert_close(Objective(0.0).adversarial(real, fake), fake.mean() - real.mean())
