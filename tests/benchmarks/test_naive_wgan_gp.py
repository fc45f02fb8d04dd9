"""The baseline of ``benchmarks/gpu.py`` does the same work as the project's step: same networks, losses, gradients."""

import naive_wgan_gp as naive
import pytest
import torch

from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic
from mammogan.models.generator import Generator
from mammogan.training import reference
from mammogan.training.losses import Objective

BATCH, GP_LAMBDA = 3, 3.0


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def is_last(item):
    return item[0].startswith("last.")


def with_state_of(network, ours):
    """The network with the values of ours, whose tensors come in the same order but for the generator's last layer."""
    state = sorted(ours.state_dict().items(), key=is_last)
    names = network.state_dict()
    assert [tuple(value.shape) for value in names.values()] == [tuple(value.shape) for _, value in state]
    network.load_state_dict({name: value for name, (_, value) in zip(names, state, strict=True)})
    return network


@pytest.fixture(params=[28, 56])
def networks(request):
    """Ours and the naive ones, generator and critic, with the same weights."""
    size = request.param
    ours = Generator(size, naive.LATENT_DIM, 256), Critic(size, 32, random_frozen().double())
    others = naive.Generator(size), naive.Critic(size)
    return ours, tuple(with_state_of(network, other) for network, other in zip(others, ours, strict=True))


def gradients(network):
    weights = sorted(network.named_parameters(), key=is_last)
    return torch.cat([weight.grad.flatten() for _, weight in weights if weight.requires_grad])


def test_the_paper_size_has_the_papers_weights():
    trained = sum(weight.numel() for weight in naive.Generator(224).parameters())
    assert trained == 1_960_449
    ours = Critic(224, 32, random_frozen())
    counts = [sum(w.numel() for w in net.parameters() if w.requires_grad) for net in (ours, naive.Critic(224))]
    assert counts[0] == counts[1] > 200_704


def test_a_critic_step_is_that_of_the_reference(networks):
    (generator, critic), (naive_generator, naive_critic) = networks
    real = torch.rand(BATCH, 1, critic.size, critic.size) * 2 - 1
    torch.manual_seed(1)
    loss = naive.critic_step(
        naive_generator, naive_critic, torch.optim.SGD(naive_critic.parameters(), 0.0), real, GP_LAMBDA
    )
    torch.manual_seed(1)
    with torch.no_grad():
        fake = generator(torch.randn(BATCH, naive.LATENT_DIM))
    measures = reference.critic_gradients(critic, real, fake, torch.rand(BATCH, 1, 1, 1), Objective(GP_LAMBDA))
    assert loss.item() == pytest.approx(measures.loss.item(), rel=1e-9)
    assert measures.penalty > 0
    torch.testing.assert_close(gradients(naive_critic), gradients(critic), rtol=1e-6, atol=1e-9)


def test_a_generator_step_is_that_of_the_reference(networks):
    (generator, critic), (naive_generator, naive_critic) = networks
    torch.manual_seed(1)
    optimiser = torch.optim.SGD(naive_generator.parameters(), 0.0)
    loss = naive.generator_step(naive_generator, naive_critic, optimiser, BATCH)
    torch.manual_seed(1)
    expected = reference.generator_gradients(generator, critic, torch.randn(BATCH, naive.LATENT_DIM))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(gradients(naive_generator), gradients(generator), rtol=1e-6, atol=1e-9)
