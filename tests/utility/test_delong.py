"""AUC, its variance and its covariance against scikit-learn, a jackknife and sums written out."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mammogan.statistics import jackknife, total_variance
from mammogan.utility.comparison import auc_estimate, difference_estimate
from mammogan.utility.delong import components, covariance, variances
from mammogan.utility.held_out import HeldOut


def psi(x, y):
    return 1.0 if x > y else 0.5 if x == y else 0.0


def written_out(scores, other, labels, patients):
    """Obuchowski (1997), equations 6 to 9, for two classifiers' scores (T,), term by term."""
    ill, well = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    everybody = sorted(set(patients))
    parts = []
    for row in (scores, other):
        theta = np.mean([psi(row[i], row[j]) for i in ill for j in well])
        v = {i: np.mean([psi(row[i], row[j]) for j in well]) for i in ill}
        w = {j: np.mean([psi(row[i], row[j]) for i in ill]) for j in well}
        parts.append((
            [sum(v[i] - theta for i in ill if patients[i] == name) for name in everybody],
            [sum(w[j] - theta for j in well if patients[j] == name) for name in everybody],
        ))  # fmt: skip
    counts = [len({patients[i] for i in ill}), len({patients[j] for j in well}), len(everybody)]
    factors = [count / (count - 1) for count in counts]
    m, n = len(ill), len(well)
    ((a, b), (c, d)) = (tuple(map(np.array, part)) for part in parts)
    s10, s01, s11 = factors[0] * (a @ c) / m, factors[1] * (b @ d) / n, factors[2] * (a @ d + b @ c)
    return s10 / m + s01 / n + s11 / (m * n)


def drawn(rng, patients, images, blocks=1):
    index = np.repeat(np.arange(patients), rng.integers(1, images + 1, patients))
    labels = (rng.uniform(size=len(index)) < 0.4).astype(np.int64)
    labels[:2] = (0, 1)
    scores = np.round(rng.normal(size=(blocks, len(index))) + 0.7 * labels + rng.normal(size=patients)[index], 1)
    return scores, HeldOut(labels, [f"p{number}" for number in index])


@pytest.mark.parametrize("images", [1, 3])
def test_auc_is_scikit_learns_ties_included(rng, images):
    scores, test = drawn(rng, 40, images, blocks=3)
    expected = [roc_auc_score(test.labels, row) for row in scores]
    np.testing.assert_allclose(components(scores, test).values, expected)


def test_with_one_image_a_patient_the_variance_is_the_two_sample_jackknifes(rng):
    """AUC is linear in the placements, so that leaving out an image of either class gives DeLong's variance exactly."""
    scores, test = drawn(rng, 30, 1)
    row, labels = scores[0], test.labels
    expected = 0.0
    for kind in (0, 1):
        without = np.array([
            roc_auc_score(np.delete(labels, index), np.delete(row, index)) for index in np.flatnonzero(labels == kind)
        ])  # fmt: skip
        expected += jackknife(float(without.mean()), without).variance
    assert total_variance(variances(components(scores, test)))[0] == pytest.approx(expected)


@pytest.mark.parametrize("images", [1, 4])
def test_variance_and_covariance_by_patient_are_obuchowskis_written_out(rng, images):
    scores, test = drawn(rng, 25, images)
    other = np.round(scores + rng.normal(size=scores.shape), 1)
    one, two = components(scores, test), components(other, test)
    given = (test.labels, test.patients)
    assert total_variance(variances(one))[0] == pytest.approx(written_out(scores[0], scores[0], *given))
    assert covariance(one, two) == pytest.approx(written_out(scores[0], other[0], *given))
    expected = sum(
        sign * written_out(a[0], b[0], *given)
        for sign, a, b in ((1, scores, scores), (1, other, other), (-2, scores, other))
    )
    assert total_variance(variances(one - two))[0] == pytest.approx(expected)


def test_images_of_a_patient_are_not_taken_for_independent(rng):
    """Every image four times: the variance is that of one each, but for nothing."""
    scores, test = drawn(rng, 60, 1)
    repeated = HeldOut(np.repeat(test.labels, 4), [name for name in test.patients for _ in range(4)])
    single = total_variance(variances(components(scores, test)))[0]
    assert total_variance(variances(components(np.repeat(scores, 4, axis=1), repeated)))[0] == pytest.approx(single)


def test_blocks_add_their_spread_and_what_both_count_is_taken_off(rng):
    """Without patients' part it is the blocks' variance of the mean; equal blocks add nothing."""
    scores, test = drawn(rng, 50, 2, blocks=4)
    result = components(scores, test)
    flat = type(result)(result.values, 0 * result.malignant, 0 * result.benign, result.patients)
    assert total_variance(variances(flat))[0] == pytest.approx(result.values.var(ddof=1) / 4)
    same = components(np.repeat(scores[:1], 4, axis=0), test)
    alone = components(scores[:1], test)
    assert total_variance(variances(same))[0] == pytest.approx(total_variance(variances(alone))[0])


def test_a_perfect_auc_has_an_interval_within_its_range():
    labels = np.repeat([0, 1], 10)
    test = HeldOut(labels, [str(number) for number in range(20)])
    result = auc_estimate(components(np.tile(labels + 0.0, (3, 1)), test), 0.95)
    assert result.value == result.high == 1
    assert 0.6 < result.low < 0.9


def test_a_difference_that_is_the_same_in_every_patient_is_not_certain():
    labels = np.repeat([0, 1], 2)
    test = HeldOut(labels, list("abcd"))
    perfect, wrong = (components(np.tile(row, (3, 1)), test) for row in (labels + 0.0, 1.0 - labels))
    result = difference_estimate(perfect - wrong, 0.95)
    assert result.value == 1
    assert result.low < 0


@pytest.mark.parametrize("patients", [60, pytest.param(20, marks=pytest.mark.long)])
def test_paired_intervals_cover_as_often_as_they_say(patients):
    """300 studies: arm b scores cases higher by a known shift; patients, several images each, and trainings vary."""
    from scipy.stats import norm

    rng, hits = np.random.default_rng(2), 0
    variance = 1 + 0.3 + 0.5**2
    true = norm.cdf(1.4 / np.sqrt(2 * variance)) - norm.cdf(1.0 / np.sqrt(2 * variance))
    for _ in range(300):
        index = np.repeat(np.arange(2 * patients), rng.integers(1, 4, 2 * patients))
        labels = (index >= patients).astype(np.int64)
        shared = rng.normal(size=2 * patients)[index]
        test = HeldOut(labels, [str(number) for number in index])
        one, two = (
            components(
                shared + shift * labels + rng.normal(scale=0.3**0.5, size=2 * patients)[index]
                + 0.5 * rng.normal(size=(5, len(index))), test,
            )
            for shift in (1.0, 1.4)
        )  # fmt: skip
        result = difference_estimate(two - one, 0.9)
        hits += result.low <= true <= result.high
    assert 0.86 <= hits / 300 <= 0.95
