import itertools

import numpy as np
import pytest
from torch_fidelity.metric_kid import kernel_mmd, kernel_poly, mmd2

from mammogan.metrics import kid
from mammogan.metrics.kid import kernel_difference, kernel_distance, kernel_estimate

DEFAULTS = {
    "kid_kernel": "poly",
    "kid_kernel_poly_degree": 3,
    "kid_kernel_poly_gamma": None,
    "kid_kernel_poly_coef0": 1,
}


def test_known_values_by_hand():
    """k(0, .) = 1, k(1, 1) = 8, k(1, 2) = 27, k(2, 2) = 125."""
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    assert kernel_distance(x, y) == -13
    assert kernel_distance(x, y, unbiased=False) == 19.75


def test_known_value_of_two_gaussians(rng):
    """N(0, I4) against N(0.5, I4): 1.328125 in expectation."""
    draws = [kernel_distance(rng.normal(size=(400, 4)), rng.normal(0.5, size=(400, 4))) for _ in range(60)]
    assert np.mean(draws) == pytest.approx(1.328125, abs=4 * np.std(draws) / np.sqrt(60))
    assert np.std(draws) / np.sqrt(60) < 0.04


@pytest.mark.parametrize("unbiased", [True, False])
def test_agrees_with_torch_fidelity(rng, unbiased):
    x, y = rng.normal(size=(50, 32)), rng.normal(size=(50, 32)) + 0.3
    kernels = [kernel_poly(a, b, **DEFAULTS) for a, b in ((x, x), (x, y), (y, y))]
    theirs = mmd2(*kernels, mmd_est="unbiased" if unbiased else "biased")
    assert kernel_distance(x, y, unbiased) == pytest.approx(theirs, rel=1e-10)
    if unbiased:
        assert kernel_distance(x, y) == pytest.approx(kernel_mmd(x, y, **DEFAULTS), rel=1e-10)


def test_chunks_of_rows_do_not_change_the_value(rng, monkeypatch):
    x, y = rng.normal(size=(23, 5)), rng.normal(size=(31, 5))
    whole = kernel_estimate(x, y, 0.95)
    monkeypatch.setattr(kid, "ROWS_AT_ONCE", 4)
    assert kernel_estimate(x, y, 0.95) == pytest.approx(whole)


def test_the_interval_is_that_of_leaving_images_out_for_real(rng):
    from mammogan.statistics import combine, jackknife

    x, y = rng.normal(size=(12, 5)), rng.normal(size=(9, 5)) + 0.5
    value = kernel_distance(x, y)
    without_x = np.array([kernel_distance(np.delete(x, i, axis=0), y) for i in range(12)])
    without_y = np.array([kernel_distance(x, np.delete(y, i, axis=0)) for i in range(9)])
    slow = combine(value, [jackknife(value, without_x), jackknife(value, without_y)], 0.95)
    assert kernel_estimate(x, y, 0.95) == pytest.approx(slow)
    assert kernel_estimate(x[:3], y, 0.95)[1:] == (None, None)
    assert kernel_estimate(x[:4], y, 0.95).low is not None


def by_pairs(x, y, patients, other_patients=None):
    """KID over pairs of images of different patients, one by one."""
    other_patients = np.arange(len(y)) if other_patients is None else other_patients
    within = [
        np.mean([kernel[i, j] for i, j in itertools.permutations(range(len(whose)), 2) if whose[i] != whose[j]])
        for kernel, whose in ((kid.cubic(x, x), patients), (kid.cubic(y, y), other_patients))
    ]
    return sum(within) - 2 * kid.cubic(x, y).mean()


@pytest.mark.parametrize("most", [1000, 3])
def test_images_of_one_patient_are_not_compared_with_each_other(rng, monkeypatch, most):
    """Also where a block holds several patients."""
    monkeypatch.setattr(kid, "MOST_BLOCKS", most)
    x, y = rng.normal(size=(14, 5)), rng.normal(size=(9, 5)) + 0.5
    patients, others = np.array([5, 5, 2, 2, 2, 0, 1, 3, 3, 4, 0, 6, 6, 7]), np.array([0, 1, 1, 2, 3, 4, 4, 4, 5])
    assert kernel_distance(x, y, patients=patients) == pytest.approx(by_pairs(x, y, patients))
    both = kernel_distance(x, y, patients=patients, other_patients=others)
    assert both == pytest.approx(by_pairs(x, y, patients, others))
    assert both != pytest.approx(kernel_distance(x, y), rel=1e-3)
    assert kernel_distance(x, y, patients=patients * 0) == pytest.approx(kernel_distance(x, y))
    assert kernel_distance(x, y, False, patients) == pytest.approx(kernel_distance(x, y, False))
    kernel, block = kid.cubic(x, x), np.unique(patients, return_inverse=True)[1] % most
    apart = patients[:, None] != patients
    expected = [kernel[np.outer(block != left, block != left) & apart].mean() for left in range(block.max() + 1)]
    assert kid.kernel_sums(x, y, patients).x.means_without() == pytest.approx(expected)


def test_kid_of_few_patients_with_many_images_is_unbiased(rng):
    """N(0, I4) in 15 patients of eight alike images, against N(0.5, I4): 1.328125, and far more by all pairs."""
    patients = np.repeat(np.arange(15), 8)
    right, wrong = [], []
    for _ in range(300):
        real = 0.9**0.5 * rng.normal(size=(15, 4))[patients] + 0.1**0.5 * rng.normal(size=(120, 4))
        fake = rng.normal(0.5, size=(60, 4))
        right.append(kernel_distance(real, fake, patients=patients))
        wrong.append(kernel_distance(real, fake))
    error = np.std(right) / 300**0.5
    assert np.mean(right) == pytest.approx(1.328125, abs=4 * error)
    assert np.mean(wrong) > 1.328125 + 4 * error


def test_a_patient_is_left_out_with_all_images(rng):
    from mammogan.statistics import combine, jackknife

    x, y, patients = (
        rng.normal(size=(14, 5)),
        rng.normal(size=(9, 5)) + 0.5,
        np.array([5, 5, 2, 2, 2, 0, 1, 3, 3, 4, 0, 6, 6, 7]),
    )
    value = by_pairs(x, y, patients)
    without_x = np.array([by_pairs(x[patients != patient], y, patients[patients != patient]) for patient in range(8)])
    without_y = np.array([by_pairs(x, np.delete(y, i, axis=0), patients) for i in range(9)])
    slow = combine(value, [jackknife(value, without_x), jackknife(value, without_y)], 0.95)
    assert kernel_estimate(x, y, 0.95, patients) == pytest.approx(slow)
    assert kernel_estimate(x, y, 0.95, patients * 0)[1:] == (None, None)


def test_the_variance_of_pairs_of_patients_is_that_of_sums_over_theirs(rng):
    """What a weighted additive fit leaves of the means over pairs of patients; constants leave 0."""
    x, y, patients = rng.normal(size=(9, 3)), rng.normal(size=(7, 3)), np.array([0, 0, 1, 2, 2, 2, 3, 4, 4])
    sums = kid.kernel_sums(x, y, patients)
    k, sizes = kid.cubic(x, x), np.bincount(patients)
    couples = list(itertools.permutations(range(5), 2))
    weights = np.array([sizes[p] * sizes[q] for p, q in couples])
    means = np.array([k[np.ix_(patients == p, patients == q)].mean() for p, q in couples])
    design = np.array([np.eye(5)[p] + np.eye(5)[q] for p, q in couples])
    root = weights**0.5
    fit = np.linalg.lstsq(design * root[:, None], means * root)[0]
    left = weights * (means - design @ fit)
    assert sums.x.variance_of_pairs() == pytest.approx(2 * np.square(left).sum() / weights.sum() ** 2 * 4 / 2)
    constant = kid.kernel_sums(np.zeros_like(x), y, patients).x
    assert constant.variance_of_pairs() == pytest.approx(0, abs=1e-20)
    k = kid.cubic(x, y)
    u = k - k.mean(0) - k.mean(1)[:, None] + k.mean()
    pairs = np.array([u[patients == p].sum(0) for p in range(5)])
    assert sums.across.variance_of_pairs() == pytest.approx(4 * np.square(pairs).sum() / 63**2 * 5 / 4 * 7 / 6)


def test_the_difference_of_two_generators_leaves_a_patient_out_of_both(rng):
    from mammogan.statistics import combine, jackknife

    real, one, other = rng.normal(size=(14, 5)), rng.normal(size=(9, 5)) + 0.5, rng.normal(size=(11, 5)) + 0.7
    patients = np.repeat(np.arange(7), 2)
    found = kernel_difference(one, other, real, 0.975, patients)
    assert (found.one, found.other) == pytest.approx((by_pairs(real, one, patients), by_pairs(real, other, patients)))

    def difference(keep=slice(None), one=one, other=other):
        return kernel_distance(real[keep], one) - kernel_distance(real[keep], other)

    without = [
        np.array([difference(patients != patient) for patient in range(7)]),
        np.array([difference(one=np.delete(one, i, axis=0)) for i in range(9)]),
        np.array([difference(other=np.delete(other, i, axis=0)) for i in range(11)]),
    ]
    # the reals' own term, which cancels, does so in each draw too
    slow = combine(difference(), [jackknife(difference(), each) for each in without], 0.95)
    assert (found.value, found.upper) == pytest.approx((slow.value, slow.high))
    assert kernel_difference(one[:3], other, real, 0.975).upper is None
    assert kernel_difference(one, other, real, 0.975, patients // 3).upper is None


def test_what_is_hard_for_both_generators_takes_no_part_in_their_difference(rng):
    """Nearly the same images twice: apart, KID's own interval is far wider than that of the difference."""
    real, one = rng.normal(size=(60, 4)) * 2, rng.normal(size=(80, 4)) + 1
    found = kernel_difference(one, rng.permutation(one) + 1e-3, real, 0.975)
    alone = kernel_estimate(real, one, 0.95)
    assert abs(found.value) < 0.05
    assert found.upper - found.value < alone.high - alone.value


def test_more_images_than_blocks_are_left_out_several_at_a_time(rng, monkeypatch):
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(60, 5)) + 0.5
    one_by_one = kernel_estimate(x, y, 0.95)
    monkeypatch.setattr(kid, "MOST_BLOCKS", 20)
    blocks = kernel_estimate(x, y, 0.95)
    assert blocks.value == pytest.approx(one_by_one.value)
    assert blocks.high - blocks.low == pytest.approx(one_by_one.high - one_by_one.low, rel=0.3)


def test_the_variance_of_pairs_is_that_of_distinct_images_one_by_one(rng):
    """E k~^2 by its unbiased definition, a mean over distinct images of both arguments of both factors."""
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))

    def within(x):
        k = kid.cubic(x, x)
        terms = [k[i, j] * (k[i, j] + k[p, q] - 2 * k[i, p]) for i, j, p, q in itertools.permutations(range(len(x)), 4)]
        return 2 * np.mean(terms) / (len(x) * (len(x) - 1))

    k = kid.cubic(x, y)
    rows, columns = (list(itertools.permutations(range(count), 2)) for count in k.shape)
    across = np.mean([(k[i, p] - k[j, p] - k[i, q] + k[j, q]) ** 2 / 4 for i, j in rows for p, q in columns])
    expected = within(x) + within(y) + 4 * across / k.size
    assert kid._of_pairs(kid.kernel_sums(x, y)) == pytest.approx(expected)


def test_identical_images_have_no_variance():
    x = np.full((6, 3), 0.1)
    assert kernel_estimate(x, x, 0.95) == pytest.approx((0, 0, 0), abs=1e-7)


def test_negative_values_are_kept(rng):
    values = [kernel_distance(rng.normal(size=(20, 8)), rng.normal(size=(20, 8))) for _ in range(40)]
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("sizes", [(150, 130), (60, 100)])
def test_subsets_are_those_of_torch_fidelity(rng, sizes, monkeypatch):
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = rng.normal(size=(sizes[0], 6)), rng.normal(size=(sizes[1], 6)) + 0.2
    monkeypatch.setattr(kid, "SUBSET_SIZE", 100)
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subset_size=min(100, *sizes), verbose=False
    )
    ours = kid.kernel_subsets(x, y)
    assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6, abs=1e-12)
    assert ours.size == min(100, *sizes)
