"""Whether predicted probabilities are what happens: calibration intercept, slope and curve.

With l the log-odds of the predicted probabilities, the slope b is that of the logistic model logit P(y = 1) = a + b l,
and the intercept a that of the same model with b = 1 (Cox 1958, Biometrika 45; Van Calster et al. 2016, Journal of
Clinical Epidemiology 74). A perfectly calibrated classifier has a = 0 and b = 1; b < 1 is overconfident.
"""

from __future__ import annotations

import numpy as np

from mammogan.results import CalibrationBin, UtilityCalibration
from mammogan.statistics import Floats, Ints

BINS = 10
LEAST = 1e-6
"""Probabilities nearer to 0 or 1 are taken for this near: their log-odds would be infinite."""
MOST_ITERATIONS = 50


def calibration(arm: str, scores: Floats, labels: Ints) -> UtilityCalibration:
    """Calibration of an arm from probabilities (S, T) of S blocks and labels (T,): means over blocks, and one curve."""
    log_odds = np.log(scores.clip(LEAST, 1 - LEAST)) - np.log1p(-scores.clip(LEAST, 1 - LEAST))
    ones = np.ones(len(labels))
    intercepts = [logistic(ones[:, None], labels, offset=row) for row in log_odds]
    slopes = [logistic(np.stack([ones, row], axis=1), labels) for row in log_odds]
    return UtilityCalibration(
        arm,
        _mean([None if coefficients is None else float(coefficients[0]) for coefficients in intercepts]),
        _mean([None if coefficients is None else float(coefficients[1]) for coefficients in slopes]),
        curve(scores, labels),
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def logistic(design: Floats, labels: Ints, offset: Floats | None = None) -> Floats | None:
    """Maximum-likelihood coefficients (K,) of a logistic model of labels (T,) on ``design`` (T, K), by Newton's method.

    ``offset`` (T,) is added with coefficient 1. None where there is no maximum, as where the classes are separated.
    """
    start = np.zeros(len(labels)) if offset is None else offset
    coefficients = np.zeros(design.shape[1])
    for _ in range(MOST_ITERATIONS):
        p = 1 / (1 + np.exp(-(start + design @ coefficients).clip(-30, 30)))
        information = design.T @ (design * (p * (1 - p))[:, None])
        if not np.linalg.cond(information) < 1e12:
            return None
        step = np.linalg.solve(information, design.T @ (labels - p))
        coefficients = coefficients + step
        if np.abs(coefficients).max() > 1e4:
            return None
        if np.abs(step).max() < 1e-8 * (1 + np.abs(coefficients).max()):
            return coefficients
    return None


def curve(scores: Floats, labels: Ints, bins: int = BINS) -> tuple[CalibrationBin, ...]:
    """Mean predicted probability and share of malignant images of at most ``bins`` equally large groups, ascending."""
    predicted = scores.ravel()
    observed = np.broadcast_to(labels, scores.shape).ravel()
    groups = np.array_split(np.argsort(predicted, kind="stable"), min(bins, len(labels)))
    return tuple(
        CalibrationBin(float(predicted[group].mean()), float(observed[group].mean()), len(group)) for group in groups
    )
