"""Calibration intercept, slope and curve against scikit-learn and by hand."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from mammogan.utility.calibration import calibration, curve, logistic


def drawn(rng, blocks=1, count=300):
    log_odds = rng.normal(-0.5, 1.2, (blocks, count))
    labels = (rng.uniform(size=count) < expit(0.4 + 0.6 * log_odds[0])).astype(np.int64)
    return expit(log_odds), labels


def test_slope_and_intercept_are_those_of_logistic_models(rng):
    scores, labels = drawn(rng)
    result = calibration("real", scores, labels)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(scores[0])[:, None], labels)
    assert result.slope == pytest.approx(model.coef_[0, 0], abs=1e-4)
    in_the_large = brentq(lambda a: (labels - expit(a + logit(scores[0]))).sum(), -5, 5)
    assert result.intercept == pytest.approx(in_the_large, abs=1e-6)


def test_blocks_are_averaged(rng):
    scores, labels = drawn(rng, blocks=3)
    by_block = [calibration("real", row[None], labels) for row in scores]
    both = calibration("real", scores, labels)
    assert both.slope == pytest.approx(np.mean([item.slope for item in by_block]))
    assert both.intercept == pytest.approx(np.mean([item.intercept for item in by_block]))


def test_separated_classes_have_no_slope_and_yet_an_intercept():
    labels = np.repeat([0, 1], 10)
    result = calibration("real", np.where(labels, 0.9, 0.2)[None], labels)
    assert result.slope is None
    assert result.intercept == pytest.approx(brentq(lambda a: 10 - 10 * (expit(a + logit(0.9)) + expit(a + logit(0.2))),
                                                   -5, 5))  # fmt: skip
    assert logistic(np.ones((4, 1)), np.ones(4, dtype=np.int64)) is None


def test_certain_probabilities_stay_finite():
    result = calibration("real", np.array([[0.0, 1.0, 0.5, 1.0, 0.0, 0.3]]), np.array([0, 1, 0, 0, 1, 1]))
    assert result.slope is not None
    assert np.isfinite(result.slope)


def test_the_curve_is_scikit_learns_with_bins_of_equal_size(rng):
    scores, labels = drawn(rng)
    observed, predicted = calibration_curve(labels, scores[0], n_bins=10, strategy="quantile")
    got = curve(scores, labels)
    np.testing.assert_allclose([item.predicted for item in got], predicted)
    np.testing.assert_allclose([item.observed for item in got], observed)
    assert {item.count for item in got} == {30}
    assert len(curve(scores[:, :4], labels[:4])) == 4
