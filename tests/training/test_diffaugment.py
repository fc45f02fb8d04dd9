from dataclasses import replace

import pytest
import torch

from mammogan.config import PRESETS, TrainConfig, Trial, override
from mammogan.features.densenet import random_frozen
from mammogan.training import trainer
from mammogan.training.diffaugment import diff_augment

NOTHING = TrainConfig()
EVERYTHING = replace(NOTHING, diff_shift=0.2, diff_cutout=0.4, diff_contrast=0.3)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count, side=20):
    return torch.rand(count, 1, side, side, generator=rng(9), dtype=torch.float64) * 1.6 - 0.8


def test_without_a_strength_nothing_is_drawn():
    generator = rng()
    before = generator.get_state()
    x = images(2)
    assert diff_augment(x, NOTHING, generator) is x
    assert torch.equal(generator.get_state(), before)


def test_a_shift_moves_by_whole_pixels_and_leaves_grey():
    x = images(64)
    shifted = diff_augment(x, replace(NOTHING, diff_shift=0.1), rng())
    canvas = torch.nn.functional.pad(x, (2, 2, 2, 2))
    offsets = []
    for before, after in zip(canvas[:, 0], shifted[:, 0], strict=True):
        offsets += [(i, j) for i in range(5) for j in range(5) if torch.equal(before[i : i + 20, j : j + 20], after)]
    assert len(offsets) == 64
    assert {i for i, _ in offsets} == {j for _, j in offsets} == set(range(5))
    assert len(set(offsets)) > 15


def test_a_cut_out_is_one_square_that_may_hang_over_the_edge():
    x = images(200)
    cut = diff_augment(x, replace(NOTHING, diff_cutout=0.4), rng())
    blank = (cut == 0) & (x != 0)
    assert torch.equal(torch.where(blank, 0.0, x), cut)
    heights, widths = blank.any(3).sum(2), blank.any(2).sum(2)
    assert torch.equal(heights * widths, blank.sum((2, 3)))
    assert heights.max() == widths.max() == 8
    assert heights.min() == widths.min() == 4
    assert (heights == 8).double().mean() > 0.5


def test_contrast_and_brightness_are_one_line_about_the_mean_and_stay_in_their_bounds():
    x = images(200)
    relit = diff_augment(x, replace(NOTHING, diff_contrast=0.3), rng())
    mean = x.mean((1, 2, 3), keepdim=True)
    gain = relit.std((1, 2, 3), keepdim=True) / x.std((1, 2, 3), keepdim=True)
    offset = relit.mean((1, 2, 3), keepdim=True) - mean
    torch.testing.assert_close(relit, mean + gain * (x - mean) + offset)
    for drawn in (gain - 1, offset):
        assert 0.25 < drawn.max() <= 0.3
        assert -0.3 <= drawn.min() < -0.25
    assert abs(torch.corrcoef(torch.stack([gain.flatten(), offset.flatten()]))[0, 1]) < 0.2


def test_it_depends_on_its_generator_alone_and_on_each_image_alone():
    x = images(4)
    first = diff_augment(x, EVERYTHING, rng(7))
    assert torch.equal(diff_augment(x, EVERYTHING, rng(7)), first)
    assert not torch.equal(diff_augment(x, EVERYTHING, rng(8)), first)
    same = diff_augment(x[:1].expand(4, -1, -1, -1), EVERYTHING, rng(7))
    assert not torch.equal(same[0], same[1])
    torch.testing.assert_close(same[0], first[0])


def test_gradients_flow_through_to_the_images():
    x = images(2, side=6).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, EVERYTHING, rng(3)), (x,))


@pytest.mark.parametrize("network", ["critic", "generator"])
def test_reals_and_fakes_are_augmented_for_both_networks(monkeypatch, network):
    """A cut-out of the whole side blanks all that either network's update sees, and so the penalty's end points."""
    seen = []
    original = getattr(trainer, f"{network}_gradients")
    images_at = {"critic": slice(1, 3), "generator": slice(2, 3)}[network]

    def spy(*arguments):
        seen.extend(arguments[images_at])
        return original(*arguments)

    monkeypatch.setattr(trainer, f"{network}_gradients", spy)
    config = override(
        PRESETS["demo"],
        {
            "data.size": 28,
            "model.generator_channels": 8,
            "model.critic_channels": 4,
            "train.batch_size": 2,
            "train.diff_cutout": 1.0,
        },
    )
    chosen = torch.full((4, 1, 28, 28), 255, dtype=torch.uint8)
    loop_trainer = trainer.Trainer(chosen, config, Trial(3.0, 0), random_frozen(), torch.device("cpu"))
    loop_trainer.advance()
    assert len(seen) == {"critic": 2 * config.train.n_critic, "generator": 1}[network]
    # a square as wide as the image covers at least a quarter of it wherever its centre is
    assert all(((batch == 0).flatten(1).double().mean(1) >= 0.25).all() for batch in seen)
