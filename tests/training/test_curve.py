"""200 steps by the fast step and by the straightforward one give one loss curve, which is kept in a golden file."""

import json
from pathlib import Path

import pytest
import torch

from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import gradients, reference
from mammogan.training.losses import Objective

GOLDEN = Path(__file__).parent / "golden" / "curve.json"
STEPS, KEPT_EVERY, BATCH, SIZE = 200, 10, 2, 28
OBJECTIVE = Objective(gp_lambda=3.0)


def networks(readout):
    torch.manual_seed(0)
    frozen = random_frozen().double()
    generator = Generator(SIZE, 4, 8).double()
    return generator, Critic(SIZE, 4, frozen, readout=readout).double()


def discs(count, rng):
    """Bright discs on a dark ground, float64 in [-1, 1]."""
    across = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    x, y, radius = torch.rand(3, count, 1, 1, generator=rng, dtype=torch.float64)
    distance = (across - x + 0.5).square() + (across.view(-1, 1) - y + 0.5).square()
    return torch.tanh(8 * (0.2 + 0.3 * radius - distance.sqrt())).unsqueeze(1)


def curve(readout, way, steps=STEPS):
    """Wasserstein estimate, penalty and generator's loss of every step: (steps, 3)."""
    generator, critic = networks(readout)
    if way is gradients:
        critic.frozen = FoldedDenseNet(critic.frozen)
    optimisers = [torch.optim.Adam(network.parameters(), lr=5e-4, betas=(0.0, 0.9)) for network in (generator, critic)]
    rng = torch.Generator().manual_seed(1)
    rows = []
    for _ in range(steps):
        z = torch.randn(2, BATCH, 4, generator=rng, dtype=torch.float64)
        alpha = torch.rand(BATCH, 1, 1, 1, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            fake = generator(z[0])
        measures = way.critic_gradients(critic, discs(BATCH, rng), fake, alpha, OBJECTIVE)
        optimisers[1].step()
        drawn = generator(z[1]) if way is gradients else z[1]
        loss = way.generator_gradients(generator, critic, drawn)
        optimisers[0].step()
        rows.append(torch.stack([measures.wasserstein, measures.penalty, loss]))
    return torch.stack(rows)


def kept(rows):
    return rows[KEPT_EVERY - 1 :: KEPT_EVERY]


def golden(readout):
    return torch.tensor(json.loads(GOLDEN.read_text())[readout], dtype=torch.float64)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["flat", "projected"])
def test_200_fast_steps_give_the_straightforward_ones_golden_curve(readout):
    """To 1e-6: what differs by 1e-15 in the first step grows as the networks learn."""
    torch.testing.assert_close(kept(curve(readout, gradients)), golden(readout), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("readout", ["flat", "projected"])
def test_the_golden_curve_is_the_straightforward_steps(readout):
    begun = kept(curve(readout, reference, 2 * KEPT_EVERY))
    torch.testing.assert_close(begun, golden(readout)[:2], rtol=1e-8, atol=1e-8)


def doubled(surrogate):
    return lambda *arguments: (surrogate(*arguments)[0] * 2, surrogate(*arguments)[1])


def without_the_frozen_trial(surrogate):
    def broken(critic, x_hat):
        jvp = critic.frozen.jvp
        critic.frozen.jvp = lambda u, path: tuple(torch.zeros_like(tangent) for tangent in jvp(u, path))
        try:
            return surrogate(critic, x_hat)
        finally:
            del critic.frozen.jvp

    return broken


@pytest.mark.parametrize("broken", [doubled, without_the_frozen_trial])
def test_a_broken_penalty_leaves_the_golden_curve(broken, monkeypatch):
    """Its value is right in either case; only its derivative is not."""
    monkeypatch.setattr(gradients, "_penalty_surrogate", broken(gradients._penalty_surrogate))
    begun = kept(curve("flat", gradients, 2 * KEPT_EVERY))
    assert (begun - golden("flat")[:2]).abs().max() > 1e-3


if __name__ == "__main__":  # PYTHONPATH=. python tests/training/test_curve.py   writes the golden file anew
    torch.set_num_threads(1)
    GOLDEN.parent.mkdir(exist_ok=True)
    curves = {readout: kept(curve(readout, reference)).tolist() for readout in ("flat", "projected")}
    GOLDEN.write_text(json.dumps(curves, indent=1) + "\n")
