"""Generators and patients whose KID is known in closed form.

Features of real images are N(0, I) in D dimensions; those of one patient share a part: sqrt(r) of the patient and
sqrt(1 - r) of the image. A generator draws N(d u, I), u a unit vector, so that its KID grows with d. With s = a.b of
independent a ~ N(m, I), b ~ N(n, I), c = m.n, p = |m|^2, q = |n|^2:

    E s = c,  E s^2 = c^2 + p + q + D,  E s^3 = c^3 + 3 c p + 3 c (q + D + 2),
    E k(a, b) = E s^3 / D^3 + 3 E s^2 / D^2 + 3 E s / D + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mammogan.statistics import Floats, Ints

DIMENSIONS = 16
SHARED = 0.5
"""r: share of the variance that images of one patient have in common."""


def kernel_mean(one: float, other: float) -> float:
    """E k of draws whose means are ``one`` u and ``other`` u."""
    d, c, p, q = DIMENSIONS, one * other, one**2, other**2
    third = c**3 + 3 * c * p + 3 * c * (q + d + 2)
    return third / d**3 + 3 * (c**2 + p + q + d) / d**2 + 3 * c / d + 1


def kid_of(shift: float) -> float:
    """KID of the generator of that d."""
    return kernel_mean(0, 0) + kernel_mean(shift, shift) - 2 * kernel_mean(0, shift)


def shift_of(kid: float) -> float:
    """D of the generator of that KID, which must not be below 0."""
    return float(brentq(lambda shift: kid_of(shift) - kid, 0.0, 50.0))


@dataclass(frozen=True)
class Patients:
    """Held-out images of some patients."""

    features: Floats
    """(N, D)."""
    numbers: Ints
    """(N,): patient of each image."""


def draw_patients(rng: np.random.Generator, patients: int, images: int) -> Patients:
    """So many patients with so many images each."""
    numbers = np.repeat(np.arange(patients), images)
    own = rng.normal(size=(patients, DIMENSIONS))[numbers]
    features = np.sqrt(SHARED) * own + np.sqrt(1 - SHARED) * rng.normal(size=own.shape)
    return Patients(features, numbers)


def draw_fakes(rng: np.random.Generator, shift: float, count: int) -> Floats:
    """Images of the generator of that d."""
    fakes = rng.normal(size=(count, DIMENSIONS))
    fakes[:, 0] += shift
    return fakes
