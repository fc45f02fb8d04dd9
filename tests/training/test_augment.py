from dataclasses import replace

import pytest
import torch

from mammogan.config import TrainConfig
from mammogan.training.augment import augment

NOTHING = TrainConfig(flip=False, rotation=0.0, crop=0.0, noise=0.0, contrast=0.0)


@pytest.fixture
def images():
    return torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_all_off_changes_nothing(images):
    assert torch.equal(augment(images, NOTHING, rng()), images)


def test_flip_mirrors_about_half_of_them_exactly(images):
    flipped = augment(images, replace(NOTHING, flip=True), rng())
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(flipped, images, strict=True)]
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 20 <= sum(mirrored) <= 44


def test_rotation_by_a_right_angle_is_exact():
    # an angle is uniform in +-rotation; pick the draw that is nearly its end to turn by nearly 90 degrees
    image = torch.zeros(1, 1, 28, 28)
    image[..., 4:8, 12:16] = 1.0
    turned = augment(image.expand(256, -1, -1, -1), replace(NOTHING, rotation=90.0), rng())
    targets = [torch.rot90(image[0], k, (-2, -1)) for k in (-1, 0, 1)]
    closest = [min((one - target).abs().mean().item() for one in turned) for target in targets]
    assert max(closest) < 0.01


def test_rotation_keeps_the_middle_and_the_crop_stays_inside():
    ramp = torch.linspace(-1, 1, 28).expand(64, 1, 28, 28)
    cropped = augment(ramp, replace(NOTHING, crop=0.3), rng())
    assert cropped.min() >= -1
    assert cropped.max() <= 1
    widths = cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]
    assert widths.min() > 2 * 0.68
    assert widths.max() <= 2 + 1e-6
    assert widths.std() > 0.05


def test_noise_has_the_asked_deviation():
    grey = torch.zeros(16, 1, 56, 56)
    noisy = augment(grey, replace(NOTHING, noise=0.05), rng())
    assert noisy.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(noisy.mean().item()) < 1e-3


def test_contrast_scales_about_the_mean(images):
    mild = images * 0.5
    scaled = augment(mild, replace(NOTHING, contrast=0.2), rng())
    gains = scaled.std(dim=(1, 2, 3)) / mild.std(dim=(1, 2, 3))
    assert 0.8 <= gains.min() < 0.87
    assert 1.13 < gains.max() <= 1.2
    torch.testing.assert_close(scaled.mean(dim=(1, 2, 3)), mild.mean(dim=(1, 2, 3)))


def test_only_the_given_generator_decides(images):
    config = TrainConfig()
    torch.manual_seed(1)
    first = augment(images, config, rng(7))
    torch.manual_seed(2)
    assert torch.equal(augment(images, config, rng(7)), first)
    assert not torch.equal(augment(images, config, rng(8)), first)
    assert first.abs().max() <= 1
