"""The critic that a trial hands on."""

import pytest
import torch

from mammogan.features.densenet import load_frozen
from mammogan.models.critic import Critic
from mammogan.models.critic_file import load_critic, save_critic
from mammogan.models.generator import Generator, save_snapshot


@pytest.fixture(scope="module", name="frozen")
def _frozen():
    return load_frozen("random")


def saved(critic, path, frozen_sha256, **changes):
    """The critic's file, with ``changes`` of its content; None takes a key away."""
    save_critic(critic, path, frozen_sha256=frozen_sha256, data_digest="d1g357")
    content = torch.load(path) | changes
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


@pytest.mark.parametrize(("readout", "head"), [("flat", "linear"), ("projected", "sigmoid")])
def test_it_scores_as_before(frozen, tmp_path, readout, head):
    network, identity = frozen
    critic = Critic(56, 4, network, head, readout)
    kept = load_critic(saved(critic, tmp_path / "critic.pt", identity.sha256))
    again = kept.critic(network, identity.sha256)
    images = torch.rand(3, 1, 56, 56) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(again(images), critic.eval()(images), rtol=1e-4, atol=1e-5)
    assert (kept.data_digest, kept.size, again.training) == ("d1g357", 56, False)


def test_the_frozen_weights_are_named_and_not_kept(frozen, tmp_path):
    network, identity = frozen
    kept = load_critic(saved(Critic(56, 4, network), tmp_path / "critic.pt", identity.sha256))
    assert (tmp_path / "critic.pt").stat().st_size < 1_000_000
    message = f"trained with the frozen weights {identity.sha256[:12]}, not abc; give --set model.frozen_weights="
    with pytest.raises(ValueError, match=message):
        kept.critic(network, "abc")


def test_what_is_no_critic_says_so(tmp_path):
    save_snapshot(Generator(28, 8, 8), 1, tmp_path / "generator.pt")
    (tmp_path / "text.pt").write_text("nothing")
    torch.save(torch.zeros(2), tmp_path / "tensor.pt")
    for name, reason in (("generator", "it has no head, readout, frozen"), ("text", "torch"), ("tensor", "a Tensor")):
        message = rf"{name}.pt': no critic of a trial \(.*{reason}.*give the critic.pt of one"
        with pytest.raises(ValueError, match=message):
            load_critic(tmp_path / f"{name}.pt")
    with pytest.raises(FileNotFoundError, match=r"critic='.*absent.pt': there is no such file"):
        load_critic(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data_digest": None, "readout": None}, "it has no readout, data_digest"),
        ({"format": 1}, "it has format 1, not 2"),
        ({"readout": 3}, "its readout is a int, not a str"),
        ({"data_digest": 0.5}, "its data_digest is a float, not a str"),
        ({"state_dict": [1]}, "its state_dict is a list, not a dict"),
    ],
)
def test_a_damaged_critic_says_what_is_wrong(frozen, tmp_path, changes, why):
    network, identity = frozen
    path = saved(Critic(28, 4, network), tmp_path / "critic.pt", identity.sha256, **changes)
    with pytest.raises(ValueError, match=rf"critic.pt': no critic of a trial \({why}"):
        load_critic(path)


@pytest.mark.parametrize("fields", [{"channels": 8}, {"channels": 2**30}, {"size": 7 * 2**12}])
def test_weights_of_another_critic_are_an_error_of_one_line(frozen, tmp_path, fields):
    """Also of one for which no machine has the memory."""
    network, identity = frozen
    kept = load_critic(saved(Critic(28, 4, network), tmp_path / "critic.pt", identity.sha256, **fields))
    with pytest.raises(ValueError, match=r"critic.pt': no critic of a trial \([\w.]+ has the shape [^\n]*$"):
        kept.critic(network, identity.sha256)
