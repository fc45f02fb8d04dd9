import pytest
import torch

from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic


@pytest.fixture(scope="module")
def frozen():
    return random_frozen()


READOUTS = ("flat", "projected")


@pytest.fixture(params=READOUTS)
def critic(request, frozen):
    torch.manual_seed(0)
    return Critic(56, 8, frozen, readout=request.param)


def images(count, size=56):
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("size", [28, 56, 112, 224])
def test_one_score_per_image(frozen, size, readout):
    scores = Critic(size, 4, frozen, readout=readout)(images(2, size))
    assert scores.shape == (2,)


def test_frozen_features_at_224_are_conv3_block4(frozen):
    (features,) = Critic(224, 4, frozen).frozen_maps(images(1, 224))
    assert features.shape == (1, 256, 28, 28)


def test_projected_readers_see_both_dense_blocks_and_need_a_small_head(frozen):
    critic = Critic(224, 32, frozen, readout="projected")
    assert [tuple(maps.shape) for maps in critic.frozen_maps(images(1, 224))] == [(1, 256, 56, 56), (1, 256, 28, 28)]
    assert critic.head.in_features == 3 * 256 * 49


def test_sigmoid_head_is_the_sigmoid_of_the_linear_one(frozen, critic):
    readout = READOUTS[len(critic.readers) - 1]
    sigmoid = Critic(56, 8, frozen, head="sigmoid", readout=readout)
    sigmoid.load_trained_state(critic.trained_state())
    torch.testing.assert_close(sigmoid(images(3)), torch.sigmoid(critic(images(3))))


def test_no_sample_reaches_another_in_training_mode(critic):
    critic.train()
    x = images(4).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x)[0], x)
    assert gradient[0].abs().max() > 0
    assert torch.count_nonzero(gradient[1:]) == 0


def test_twenty_steps_in_training_mode_leave_the_frozen_branch_alone(critic):
    critic.train()
    assert not any(module.training for module in critic.frozen.modules())
    before = {key: value.clone() for key, value in critic.frozen.state_dict().items()}
    head = critic.head.weight.detach().clone()
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(20):
        optimiser.zero_grad()
        critic(images(2)).sum().backward()
        optimiser.step()
    after = critic.frozen.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not torch.equal(critic.head.weight, head)


def test_nothing_frozen_is_trainable(critic):
    frozen = {id(weight) for weight in critic.frozen.parameters()}
    assert not [weight for weight in critic.parameters() if weight.requires_grad and id(weight) in frozen]


def test_trained_state_leaves_the_frozen_branch_out_and_is_strict(critic, frozen):
    state = critic.trained_state()
    assert not [key for key in state if key.startswith("frozen")]
    state.pop("head.bias")
    with pytest.raises(RuntimeError, match=r"head\.bias"):
        critic.load_trained_state(state)
