import copy

import torch

from mammogan.config import PRESETS, Trial, override
from mammogan.features.densenet import random_frozen
from mammogan.training.trainer import Trainer


def test_the_average_forgets_the_untrained_weights_and_weighs_the_later_ones_by_the_decay():
    """Written out: the weights' share after steps n = 0, 1, 2 is 1 - d_n times the product of later d, and
    d_n = min(0.2, (1 + n) / (10 + n)) = 1/10, 2/11, 1/5."""
    config = override(
        PRESETS["demo"],
        {
            "data.size": 28,
            "model.generator_channels": 8,
            "model.critic_channels": 4,
            "train.batch_size": 2,
            "train.n_critic": 1,
            "train.ema_decay": 0.2,
            "train.learning_rate": 0.1,
        },
    )
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(images, config, Trial(3.0, 0), random_frozen(), torch.device("cpu"))
    states = [copy.deepcopy(trainer.generator.state_dict())]
    for _ in range(3):
        trainer.advance()
        states.append(copy.deepcopy(trainer.generator.state_dict()))
    shares = (1 / 10 * 2 / 11 * 1 / 5, 9 / 10 * 2 / 11 * 1 / 5, 9 / 11 * 1 / 5, 4 / 5)
    assert abs(sum(shares) - 1) < 1e-12
    averaged = trainer.snapshot_generator()
    assert averaged is not trainer.generator
    for key, value in averaged.state_dict().items():
        if value.is_floating_point():
            expected = sum(share * state[key].double() for share, state in zip(shares, states, strict=True))
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(value, states[-1][key])
