"""Do the 95% intervals hold the truth as often as they say? 500 draws from distributions whose truth is known."""

import numpy as np
import pytest
import torch

from mammogan import statistics
from mammogan.metrics import ms_ssim
from mammogan.metrics.kid import kernel_estimate
from mammogan.metrics.lpips import Perceptual, embedded, mean_between, mean_within

DRAWS = 500
HONEST = (0.92, 0.98)


def share_held(estimates, truth):
    return np.mean([low <= truth <= high for _, low, high in estimates])


@pytest.mark.parametrize(("n", "m"), [(40, 60), (100, 100)])
def test_kid(rng, n, m):
    """N(0, I4) against N(0.5, I4), where KID is 1.328125."""
    estimates = [kernel_estimate(rng.normal(size=(n, 4)), rng.normal(0.5, size=(m, 4)), 0.95) for _ in range(DRAWS)]
    assert HONEST[0] <= share_held(estimates, 1.328125) <= HONEST[1]


@pytest.mark.parametrize("images", [2, 4])
def test_kid_over_patients(rng, images):
    """N(0, I8) of patients who have half of their images' variance in common, against N(0.6, I8).

    By image the intervals are too narrow, and about a value that is too high.
    """
    q = 8 * 0.6**2
    truth = (q**3 + 6 * q**2 + 30 * q) / 8**3 + 3 * q**2 / 8**2 + 3 * q / 8
    patients = np.repeat(np.arange(40), images)
    by_patient, by_image = [], []
    for _ in range(300):
        real = (rng.normal(size=(40, 8))[patients] + rng.normal(size=(40 * images, 8))) / 2**0.5
        fake = rng.normal(0.6, size=(200, 8))
        by_patient.append(kernel_estimate(real, fake, 0.95, patients))
        by_image.append(kernel_estimate(real, fake, 0.95))
    assert HONEST[0] <= share_held(by_patient, truth) <= HONEST[1]
    assert share_held(by_image, truth) < share_held(by_patient, truth)


@pytest.mark.parametrize(
    ("shape", "mean"),
    [((40, 4), 0), ((60, 64), 0.3), ((50, 1), 3)],
    ids=["four directions", "many weak directions", "one direction"],
)
def test_kid_of_one_distribution(rng, shape, mean):
    """KID is 0: where one direction rules the kernel, a jackknife alone leaves 6 to 7% of the intervals below it."""
    estimates = [
        kernel_estimate(rng.normal(mean, size=shape), rng.normal(mean, size=shape), 0.95) for _ in range(DRAWS)
    ]
    assert share_held(estimates, 0) >= HONEST[0]
    assert np.mean([high < 0 for _, _, high in estimates]) <= 0.025


def as_pictures(values):
    """Numbers as images of four pixels, so that the embedding below can read them back."""
    return torch.from_numpy(values.round().clip(0, 255).astype(np.uint8)).view(-1, 1, 2, 2)


PIXELS = Perceptual("pixels", "", "", lambda images: images.flatten(1).float() / 64)


@pytest.mark.parametrize(("n", "m"), [(12, 15), (30, 90)])
def test_lpips(rng, n, m):
    """Squared distances of four independent pixels: E|x - y|^2 = 4 (var x + var y + (mean x - mean y)^2)."""

    def draw(count, mean, std):
        return embedded(PIXELS, as_pictures(rng.normal(mean, std, size=(count, 4))), 64)

    rounding = 1 / 12
    within = 4 * 2 * (20**2 + rounding) / 64**2
    between = 4 * (20**2 + 30**2 + 2 * rounding + 15**2) / 64**2
    pairs = [(draw(n, 120, 20), draw(m, 135, 30)) for _ in range(DRAWS)]
    assert HONEST[0] <= share_held([mean_within(x, 0.95) for x, _ in pairs], within) <= HONEST[1]
    assert HONEST[0] <= share_held([mean_between(x, y, 0.95) for x, y in pairs], between) <= HONEST[1]


def test_lpips_over_patients(rng):
    """Three equal images of each patient, against many others: 20 witnesses, not 60."""
    patients = np.repeat(np.arange(20), 3)
    other = embedded(PIXELS, as_pictures(rng.normal(135, 30, size=(2000, 4))), 64)
    held = {"patients": [], "images": []}
    truth = 4 * (20**2 + 30**2 + 2 / 12 + 15**2) / 64**2
    for _ in range(200):
        pictures = as_pictures(rng.normal(120, 20, size=(20, 4)))[patients]
        for name, given in (("patients", patients), ("images", None)):
            found = mean_between(embedded(PIXELS, pictures, 64, patients=given), other, 0.95)
            held[name].append(found.low <= truth <= found.high)
    assert np.mean(held["patients"]) > 0.88
    assert np.mean(held["images"]) < np.mean(held["patients"]) - 0.1
    alone = embedded(PIXELS, as_pictures(rng.normal(120, 20, size=(6, 4))), 64, patients=np.zeros(6, dtype=int))
    assert mean_between(alone, other, 0.95)[1:] == mean_within(alone, 0.95)[1:] == (None, None)


@pytest.fixture(scope="module")
def similarities():
    """MS-SSIM of all pairs of a population of 60 pictures: draws with replacement have its mean as their truth."""
    rng = torch.Generator().manual_seed(5)
    coarse = torch.rand(60, 1, 6, 6, generator=rng) * torch.rand(60, 1, 1, 1, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(161, 161), mode="bilinear")
    pictures = smooth.clamp(0, 1).mul(255).round().byte()
    left, right = np.triu_indices(60)
    values = np.empty((60, 60))
    values[left, right] = values[right, left] = ms_ssim.ms_ssim(pictures, pictures, left, right, torch.device("cpu"))
    return values


@pytest.mark.slow
@pytest.mark.parametrize("most", [80, 400, 10**6])
def test_ms_ssim(similarities, rng, most):
    """Draws of pictures with replacement, so that a pair of equal pictures is as likely as any other."""
    estimates = {"within": [], "between": []}
    for seed in range(DRAWS):
        x, y = rng.integers(60, size=25), rng.integers(60, size=40)
        left, right = statistics.pairs_within(25, most, seed)
        values = similarities[x[left], x[right]]
        estimates["within"].append(statistics.pair_mean(values, left, right, one_sample=True, confidence=0.95))
        left, right = statistics.pairs_between(25, 40, most, seed)
        values = similarities[x[left], y[right]]
        estimates["between"].append(statistics.pair_mean(values, left, right, one_sample=False, confidence=0.95))
    for pair in estimates.values():
        assert HONEST[0] <= share_held(pair, similarities.mean()) <= HONEST[1]
