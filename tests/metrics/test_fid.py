import numpy as np
import pytest
from scipy import linalg
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from mammogan.metrics.fid import frechet_distance, frechet_estimate, frechet_extrapolated


def with_moments(rng, mean, covariance, count):
    """Sample whose mean and unbiased covariance are exactly those asked for."""
    raw = rng.normal(size=(count, len(mean)))
    raw -= raw.mean(axis=0)
    whitened = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return whitened @ np.linalg.cholesky(np.array(covariance)).T + mean


def textbook(x, y):
    """Heusel et al. 2017, equation 6, with scipy's matrix square root."""
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    difference = x.mean(axis=0) - y.mean(axis=0)
    return difference @ difference + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)


def test_two_gaussians_of_known_distance(rng):
    x = with_moments(rng, [0, 0], [[2, 1], [1, 2]], 50)
    y = with_moments(rng, [1, 2], [[3, 0], [0, 1]], 70)
    assert frechet_distance(x, y) == pytest.approx(5.516685226, abs=1e-8)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 90, 8), (9, 90, 20), (90, 9, 20), (21, 20, 20)])
def test_agrees_with_the_textbook_formula_on_either_side_of_full_rank(rng, n, m, d):
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.5 + 0.3
    assert frechet_distance(x, y) == pytest.approx(textbook(x, y), rel=1e-5)


@pytest.mark.parametrize("d", [16, 200])
def test_agrees_with_torch_fidelity(rng, d):
    import torch

    x, y = rng.normal(size=(150, d)), rng.normal(size=(120, d)) + 0.2
    theirs = fid_statistics_to_metric(
        *(fid_features_to_statistics(torch.from_numpy(features)) for features in (x, y)), verbose=False
    )
    assert frechet_distance(x, y) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)


def test_a_set_against_itself_is_zero_and_order_does_not_matter(rng):
    x, y = rng.normal(size=(40, 10)), rng.normal(size=(30, 10))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y[::-1], x[::-1]))


def test_the_interval_widens_with_confidence_and_is_absent_for_two_images(rng):
    x, y = rng.normal(size=(45, 6)), rng.normal(size=(50, 6)) + 1
    narrow, wide = frechet_estimate(x, y, 0.5), frechet_estimate(x, y, 0.99)
    assert wide.low < narrow.low < narrow.value == frechet_distance(x, y) < narrow.high < wide.high
    assert frechet_estimate(x[:2], y, 0.95)[1:] == (None, None)


def test_broken_features_raise_and_are_named(rng):
    x = rng.normal(size=(5, 3))
    with pytest.raises(ValueError, match=r"y has shape \(1, 3\)"):
        frechet_distance(x, x[:1])
    with pytest.raises(ValueError, match="y holds NaN"):
        frechet_distance(x, np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match="y has 2 features, x has 3"):
        frechet_distance(x, x[:, :2])


def test_extrapolation_comes_closer_to_the_truth_than_the_value(rng):
    """N(0, I) against N(0.5, I) in 8 dimensions: 8 * 0.25 = 2, and the bias of FID at 60 images is large."""
    x, y = rng.normal(size=(60, 8)), rng.normal(0.5, size=(60, 8))
    draws = [(rng.normal(size=(60, 8)), rng.normal(0.5, size=(60, 8))) for _ in range(30)]
    values = np.mean([frechet_distance(x, y) for x, y in draws])
    extrapolated = np.mean([frechet_extrapolated(x, y, seed=0) for x, y in draws])
    assert abs(extrapolated - 2) < 0.2 < abs(values - 2)
    assert frechet_extrapolated(x[:5], y, seed=0) is None
