"""What must hold of every metric, whatever the numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.config import EvaluateConfig
from mammogan.evaluation.image_sources import RealImages
from mammogan.evaluation.snapshots import evaluate_images
from mammogan.metrics.fid import frechet_distance
from mammogan.metrics.kid import kernel_distance, kernel_estimate
from mammogan.metrics.prdc import distances, neighbourhoods
from mammogan.statistics import pair_mean, pairs_between, pairs_within

SHAPES = {"n": st.integers(2, 30), "m": st.integers(2, 30), "d": st.integers(1, 40), "seed": st.integers(0, 2**32 - 1)}


def sample(n, m, d, seed):
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=(n, d)) * 3, rng.normal(size=(m, d)) + rng.normal()


@given(**SHAPES)
@settings(deadline=None, max_examples=60)
def test_fid_is_symmetric_not_negative_and_free_of_order_shift_and_rotation(n, m, d, seed):
    rng, x, y = sample(n, m, d, seed)
    value = frechet_distance(x, y)
    scale = np.square(x).sum() + np.square(y).sum()
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert value > -1e-9 * scale
    for same in (
        frechet_distance(y, x),
        frechet_distance(rng.permutation(x), rng.permutation(y)),
        frechet_distance((x + 2) @ rotation, (y + 2) @ rotation),
    ):
        assert same == pytest.approx(value, rel=1e-7, abs=1e-9 * scale)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9 * scale)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-7, abs=1e-8 * scale)


@given(**SHAPES)
@settings(deadline=None, max_examples=60)
def test_kid_is_symmetric_and_free_of_order_and_its_biased_form_not_negative(n, m, d, seed):
    rng, x, y = sample(n, m, d, seed)
    value = kernel_distance(x, y)
    assert kernel_distance(y, x) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert kernel_distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    largest = (np.square(x).sum(axis=1).max() / d + 1) ** 3
    assert kernel_distance(x, y, unbiased=False) > -1e-9 * largest
    assert kernel_distance(x, x, unbiased=False) == pytest.approx(0, abs=1e-9 * largest)
    assert kernel_estimate(x, y, 0.95).value == value


@given(**(SHAPES | {"n": st.integers(7, 30), "m": st.integers(7, 30)}))
@settings(deadline=None, max_examples=40)
def test_neighbourhoods_swap_with_the_sets_and_stay_in_their_ranges(n, m, d, seed):
    rng, x, y = sample(n, m, d, seed)
    precision, recall, density, coverage = neighbourhoods(distances(x, y))
    assert neighbourhoods(distances(y, x))[:2] == pytest.approx([recall, precision])
    assert all(0 <= share <= 1 for share in (precision, recall, coverage))
    assert 0 <= density <= n / 5
    shuffled = neighbourhoods(distances(rng.permutation(x), rng.permutation(y)))
    assert shuffled == pytest.approx([precision, recall, density, coverage])


@given(n=st.integers(2, 40), m=st.integers(1, 40), most=st.integers(1, 500), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_pair_designs_are_distinct_and_a_constant_has_no_width(n, m, most, seed):
    left, right = pairs_within(n, most, seed)
    assert len({frozenset(pair) for pair in zip(left.tolist(), right.tolist(), strict=True)}) == len(left)
    assert len(left) == min(most, n * (n - 1) // 2)
    left, right = pairs_between(n, m, most, seed)
    assert len(set(zip(left.tolist(), right.tolist(), strict=True))) == len(left) == min(most, n * m)
    value, low, high = pair_mean(np.full(len(left), 0.25), left, right, one_sample=False, confidence=0.95)
    assert value == 0.25
    assert low is None or (low, high) == pytest.approx((0.25, 0.25))


CONFIG = EvaluateConfig(extractor="random", pairs=10**4, device="cpu")


def noise(count, seed, side=32):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8, generator=rng)


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))


def values(real, fake, config=CONFIG):
    return {
        item.key: item.value
        for item in evaluate_images({"real_fake": RealImages.unrelated(real)}, fake, config).measurements
    }


def test_no_number_depends_on_batch_size_or_order():
    real, fake = noise(9, 0), noise(11, 1) // 2
    whole = values(real, fake)
    assert len(whole) == 12
    assert values(real, fake, EvaluateConfig(**{**vars(CONFIG), "batch_size": 3})) == pytest.approx(whole, rel=1e-4)
    assert values(real.flip(0), fake.flip(0)) == pytest.approx(whole, rel=1e-4)


def test_a_set_against_itself_is_zero_or_its_own_floor():
    real = noise(9, 0)
    figures = values(real, real)
    assert figures["random_vgg/fid"] == pytest.approx(0, abs=1e-6)
    assert figures["random_vgg/precision"] == figures["random_vgg/recall"] == figures["random_vgg/coverage"] == 1
    for metric in ("lpips_random", "ms_ssim"):
        assert figures[f"sample_pairs/{metric}_fake_fake"] == figures[f"sample_pairs/{metric}_real_real"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_no_number_depends_on_the_device():
    real, fake = noise(9, 0), noise(11, 1) // 2
    on_gpu = values(real, fake, EvaluateConfig(**{**vars(CONFIG), "device": "cuda"}))
    assert on_gpu == pytest.approx(values(real, fake), rel=1e-3)


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (noise(9, 1).float(), "float32: give uint8"),
        (noise(9, 1).float() / 255, "float32: give uint8"),
        (noise(9, 1).expand(-1, 3, -1, -1), r"shape \(9, 3, 32, 32\): give grey"),
        (noise(9, 1)[:, 0], r"shape \(9, 32, 32\): give grey"),
        (noise(9, 1, side=48), "real is 32x32, fake is 48x48"),
        (torch.full((9, 1, 32, 32), float("nan")), "float32: give uint8"),
        (noise(9, 1)[:0], r"shape \(0, 1, 32, 32\)"),
    ],
)
def test_scale_and_type_traps_raise(fake, message):
    with pytest.raises(ValueError, match=message):
        evaluate_images({"real_fake": RealImages.unrelated(noise(9, 0))}, fake, CONFIG)
