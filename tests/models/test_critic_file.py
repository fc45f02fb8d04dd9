"""The critic that a branch hands on."""

import pytest
import torch

from mammogan.models.critic import Critic
from mammogan.models.critic_file import load_critic, save_critic
from mammogan.models.densenet import load_frozen
from mammogan.models.generator import Generator, save_snapshot


@pytest.fixture(scope="module", name="frozen")
def _frozen():
    return load_frozen("random")


@pytest.mark.parametrize(("readout", "head"), [("flat", "linear"), ("projected", "sigmoid")])
def test_it_scores_as_before(frozen, tmp_path, readout, head):
    network, identity = frozen
    critic = Critic(56, 4, network, head, readout)
    save_critic(critic, identity["sha256"], 0.1, tmp_path / "critic.pt")
    kept = load_critic(tmp_path / "critic.pt", network, identity["sha256"])
    images = torch.rand(3, 1, 56, 56) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(kept.critic(images), critic.eval()(images), rtol=1e-4, atol=1e-5)
    assert (kept.validation_fraction, kept.critic.size, kept.critic.training) == (0.1, 56, False)


def test_the_frozen_weights_are_named_and_not_kept(frozen, tmp_path):
    network, identity = frozen
    save_critic(Critic(56, 4, network), identity["sha256"], 0, tmp_path / "critic.pt")
    assert (tmp_path / "critic.pt").stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=f"trained with the frozen weights {identity['sha256'][:12]}, .* abc"):
        load_critic(tmp_path / "critic.pt", network, "abc")


def test_what_is_no_critic_says_so(frozen, tmp_path):
    network, identity = frozen
    save_snapshot(Generator(28, 8, 8), 1, tmp_path / "generator.pt")
    (tmp_path / "text.pt").write_text("nothing")
    for name in ("generator.pt", "text.pt"):
        with pytest.raises(ValueError, match=f"{name}': no critic of a branch .*train the branch again"):
            load_critic(tmp_path / name, network, identity["sha256"])
    with pytest.raises(FileNotFoundError):
        load_critic(tmp_path / "absent.pt", network, identity["sha256"])
