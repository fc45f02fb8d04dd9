import numpy as np
import pytest
import pytorch_msssim
import torch

from mammogan.metrics import ms_ssim

CPU = torch.device("cpu")
ONE = np.array([0])


def pictures(count, side, seed=0):
    """Smooth random images with noise: uint8 (N, 1, side, side)."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 8, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=rng)
    return noisy.clamp(0, 1).mul(255).round().to(torch.uint8)


@pytest.mark.parametrize("side", [176, 224])
def test_known_values(side):
    """Between constants luminance alone differs: (2 * 0.25 * 0.75 + C1) / (0.25^2 + 0.75^2 + C1), to the 0.1333."""
    quarter, at = torch.full((1, 1, side, side), 0.25), torch.tensor([0])
    assert ms_ssim.similarity(quarter, quarter * 3, at, at).item() == pytest.approx(0.93419, abs=1e-5)
    noise = pictures(1, side)
    assert ms_ssim.ms_ssim(noise, noise, ONE, ONE, CPU)[0] == pytest.approx(1, abs=1e-6)


def theirs(x, y):
    """In float64: in float32 its variance of flat areas is off by 1e-3 and more."""
    return pytorch_msssim.ms_ssim(x.double(), y.double(), data_range=1, size_average=False).numpy()


@pytest.mark.parametrize("side", [161, 176, 224])
def test_agrees_with_pytorch_msssim(side, monkeypatch):
    monkeypatch.setitem(ms_ssim.PAIRS_AT_ONCE, "cpu", 5)
    x, y = pictures(4, side), pictures(5, side, seed=1)
    y[0] = x[0] // 2 + 30
    left, right = np.array([3, 0, 2, 1, 0, 0, 3]), np.array([0, 0, 4, 1, 2, 3, 3])
    expected = theirs(x[left].float() / 255, y[right].float() / 255)
    assert ms_ssim.ms_ssim(x, y, left, right, CPU) == pytest.approx(expected, abs=2e-5)


def test_small_images_are_enlarged_to_224():
    x = pictures(2, 56)
    large = torch.nn.functional.interpolate(x.float() / 255, size=(224, 224), mode="bilinear")
    value = ms_ssim.ms_ssim(x, x, ONE, ONE + 1, CPU)
    assert value == pytest.approx(theirs(large[:1], large[1:]), abs=1e-5)
    assert ms_ssim.enlarged(torch.zeros(1, 1, 161, 161), 161, 224).shape[-1] == 161
    assert ms_ssim.enlarged(torch.zeros(1, 1, 160, 300), 161, 224).shape[-2:] == (224, 420)
    assert ms_ssim.enlarged(torch.zeros(1, 1, 400, 40), 161, 224).shape[-2:] == (2240, 224)
