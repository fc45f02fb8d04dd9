"""The AUC of several classifiers on the same test images, and its variance, where a patient may have several images.

With psi(x, y) = 1, 1/2 or 0 where the malignant image's score x is above, equal to or below the benign one's y, the AUC
of m malignant and n benign images is theta = sum psi(x_i, y_j) / (m n). The placements are V_i = mean over j of
psi(x_i, y_j) and W_j = mean over i of psi(x_i, y_j). DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44) take the
variance from the spread of both. Images of a patient are not independent, so the placements are summed by patient first
(Obuchowski 1997, Biometrics 53): with A_c = sum of V_i - theta over the malignant images of patient c, by m, and B_c =
sum of W_j - theta over the benign ones, by n,

    var(theta) = I1/(I1-1) sum A_c^2 + I0/(I0-1) sum B_c^2 + 2 I/(I-1) sum A_c B_c,

of I1 patients with a malignant image, I0 with a benign one and I in all. With one image a patient that is DeLong's
variance. Everything is linear in A and B, so that the difference of two classifiers has theirs, and the mean over
blocks (trainings with their own seed and synthetic images) the mean's.

The AUC of a block also has what its training adds. With A + B = u_bc, the variance of the mean over S blocks is that of
the mean's A and B over patients, plus that of theta_b over blocks, less what both count, the part of u_bc that is
neither the patient's nor the block's: sum (u_bc - u_c)^2 / (S (S-1)) (crossed clusters; Cameron, Gelbach and Miller
2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mammogan.statistics import Floats, Ints, Variance, placements
from mammogan.utility.held_out import HeldOut


@dataclass(frozen=True)
class Components:
    """AUCs of S blocks, or differences of them, and what each of C patients adds."""

    values: Floats
    """(S,)."""
    malignant: Floats
    """(S, C): A_c, 0 for a patient without a malignant image."""
    benign: Floats
    """(S, C): B_c."""
    patients: tuple[int, int, int]
    """Patients with a malignant image, with a benign one, and in all."""

    def __sub__(self, other: Components) -> Components:
        """Components of the difference, block by block and patient by patient."""
        return Components(
            self.values - other.values, self.malignant - other.malignant, self.benign - other.benign, self.patients
        )

    @property
    def value(self) -> float:
        """Mean over the blocks."""
        return float(self.values.mean())


def components(scores: Floats, test: HeldOut) -> Components:
    """AUC and placements of scores (S, T); higher means malignant. Both classes must be there."""
    malignant, benign = np.flatnonzero(test.labels == 1), np.flatnonzero(test.labels == 0)
    above = placements(scores[:, malignant], scores[:, benign])
    below = 1 - placements(scores[:, benign], scores[:, malignant])
    values = above.mean(axis=1)
    index = test.patient_index
    count = int(index.max()) + 1
    return Components(
        values,
        _by_patient((above - values[:, None]) / len(malignant), index[malignant], count),
        _by_patient((below - values[:, None]) / len(benign), index[benign], count),
        (len(set(index[malignant])), len(set(index[benign])), count),
    )


def _by_patient(parts: Floats, index: Ints, count: int) -> Floats:
    """Sums (S, C) of parts (S, N) over the images of each patient."""
    sums = np.zeros((len(parts), count))
    np.add.at(sums.T, index, parts.T)
    return sums


def variances(auc: Components) -> list[Variance]:
    """Parts of the variance of the mean over the blocks: of malignant patients, of benign ones, and of blocks."""
    means = auc.malignant.mean(axis=0), auc.benign.mean(axis=0)
    of_malignant, of_benign, both = _patient_terms(*means, *means, auc.patients)
    alone = of_malignant + of_benign
    patients = max(alone + both, 0.0)
    parts = [
        Variance(part * (patients / alone if alone > 0 else 0.0), count - 1)
        for part, count in zip((of_malignant, of_benign), auc.patients[:2], strict=True)
    ]
    blocks = len(auc.values)
    if blocks < 2:
        return parts
    training = float(auc.values.var(ddof=1)) / blocks
    total = patients + training
    shrunk = max(total - _covariance_of_rest(auc, auc), patients, training)
    scale = shrunk / total if total > 0 else 0.0
    return [Variance(part.variance * scale, part.freedom) for part in (*parts, Variance(training, blocks - 1))]


def covariance(one: Components, other: Components) -> float:
    """Covariance of the means over the blocks of two differences, on the same test images and blocks."""
    blocks = len(one.values)
    means = [part.mean(axis=0) for part in (one.malignant, one.benign, other.malignant, other.benign)]
    total = sum(_patient_terms(*means, one.patients))
    if blocks < 2:
        return total
    training = float(np.cov(one.values, other.values)[0, 1]) / blocks
    return total + training - _covariance_of_rest(one, other)


def _patient_terms(
    malignant: Floats, benign: Floats, other_malignant: Floats, other_benign: Floats, patients: tuple[int, int, int]
) -> tuple[float, float, float]:
    """The three sums of Obuchowski's covariance: of malignant images, benign ones, and patients with both."""
    with_malignant, with_benign, everybody = patients
    mixed = float(malignant @ other_benign + benign @ other_malignant)
    return (
        _unbiased(with_malignant) * float(malignant @ other_malignant),
        _unbiased(with_benign) * float(benign @ other_benign),
        _unbiased(everybody) * mixed,
    )


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else math.nan


def _covariance_of_rest(one: Components, other: Components) -> float:
    """What both variances count: the part that neither the patient nor the block explains."""
    blocks = len(one.values)
    rests = [whole - whole.mean(axis=0) for whole in (auc.malignant + auc.benign for auc in (one, other))]
    return float((rests[0] * rests[1]).sum()) / (blocks * (blocks - 1))
