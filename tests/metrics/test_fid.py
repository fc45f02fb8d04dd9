import numpy as np
import pytest
from scipy import linalg
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from mammogan.metrics import fid
from mammogan.metrics.fid import (
    frechet_distance,
    frechet_estimate,
    frechet_extrapolated,
    reference_between,
    reference_within,
)


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


def test_ends_are_above_zero_and_those_of_the_logarithm(rng):
    """40 images of 3 features against 45 of the same kind, where value and error are alike."""
    for _ in range(20):
        value, low, high = frechet_estimate(rng.normal(size=(40, 3)), rng.normal(size=(45, 3)), 0.99)
        assert 0 < low < value < high
        assert value / low == pytest.approx(high / value)


def test_images_of_one_patient_are_left_out_together(rng):
    """Each image four times over: as patients, the interval is that of the images that there are."""
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(400, 3)) + 0.4
    patients = np.repeat(np.arange(20), 4)
    by_patient = frechet_estimate(x.repeat(4, axis=0), y, 0.95, patients)
    by_image = frechet_estimate(x.repeat(4, axis=0), y, 0.95)
    once = frechet_estimate(x, y, 0.95)
    width = np.log(once.high / once.low)
    assert np.log(by_patient.high / by_patient.low) == pytest.approx(width, rel=0.25)
    assert np.log(by_image.high / by_image.low) < 0.75 * width
    assert frechet_estimate(x, y, 0.95, np.zeros(20, dtype=int))[1:] == (None, None)


@pytest.mark.parametrize(("n", "count", "dims"), [(200, 500, 8), (407, 1000, 16), (60, 1000, 4), (120, 100, 64)])
def test_the_reference_is_what_other_real_images_have_at_these_counts(rng, n, count, dims):
    """Halves, each compared with the other, are 2 to 3.7 times as far apart."""
    truth = np.mean([frechet_distance(rng.normal(size=(n, dims)), rng.normal(size=(count, dims))) for _ in range(30)])
    found = [reference_within(rng.normal(size=(n, dims)), count, seed) for seed in range(30)]
    assert np.mean(found) == pytest.approx(truth, rel=0.2)
    pairs = [(rng.normal(size=(n, dims)), rng.normal(size=(2 * n, dims))) for _ in range(30)]
    between = [reference_between(*pair, count, seed) for seed, pair in enumerate(pairs)]
    assert np.mean(between) == pytest.approx(truth, rel=0.2)


def test_what_lies_between_two_kinds_of_real_images_stays_in_their_reference(rng):
    """4 features, 0.5 apart in each: 1 on top of what 150 and 1000 images of one kind have."""
    x, y = rng.normal(size=(150, 4)), rng.normal(0.5, size=(300, 4))
    truth = [frechet_distance(rng.normal(size=(150, 4)), rng.normal(0.5, size=(1000, 4))) for _ in range(30)]
    assert reference_between(x, y, 1000, 0) == pytest.approx(np.mean(truth), abs=4 * np.std(truth))


def test_parts_of_the_reference_share_no_patient(rng, monkeypatch):
    compared = []
    monkeypatch.setattr(fid, "frechet_distance", lambda x, y: compared.append((x, y)) or 1.0)
    patients = np.repeat(np.arange(12), 3)
    assert reference_within(patients[:, None].astype(float), 500, 0, patients) is not None
    for one, other in compared:
        assert not set(one[:, 0]) & set(other[:, 0])
        assert all((one == patient).sum() == 3 for patient in set(one[:, 0]))
    sizes = {len(part) for pair in compared for part in pair}
    assert min(sizes) <= 9
    assert max(sizes) == 18
    assert len(compared) == 30


def test_a_reference_of_too_few_images_is_none_or_proportional(rng):
    x = rng.normal(size=(9, 4))
    assert reference_within(x, 500, 0, np.zeros(9, dtype=int)) is None
    assert reference_within(x[:3], 500, 0) is None
    assert reference_between(x[:1], x, 500, 0) is None
    # halves of 2 and 2: all parts at 1/2 + 1/2
    assert reference_within(x[:4], 4, 0) > 0
    assert reference_within(np.ones((9, 4)), 500, 0) == 0


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
