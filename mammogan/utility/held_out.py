"""Patients whose images only judge: those that tell when a training stops, and those of the test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mammogan.data.subgroups import NO_GROUPS, Grouping
from mammogan.statistics import Ints, numbered

BLOCKS = 20


@dataclass(frozen=True)
class HeldOut:
    """Labels and patients of the test images, in the order of their scores."""

    labels: Ints
    """(T,): 0 benign, 1 malignant."""
    patients: Sequence[str]
    """Patient of each image."""
    groups: Grouping = NO_GROUPS
    """Subgroups of the images."""

    @cached_property
    def patient_index(self) -> Ints:
        """Number (T,) of each image's patient, from 0."""
        return numbered(self.patients)

    def patients_of(self, label: int) -> int:
        """Patients with an image of a class."""
        return len(set(self.patient_index[self.labels == label].tolist()))

    def kept(self) -> list[Ints]:
        """Indices that remain when each of at most 20 blocks of patients is left out.

        Patients with a malignant image are dealt out first, so that every remainder holds both classes.
        """
        index = self.patient_index
        count = int(index.max()) + 1
        malignant = np.array([self.labels[index == number].max() for number in range(count)])
        block = np.empty(count, dtype=np.int64)
        block[np.argsort(-malignant, kind="stable")] = np.arange(count) % min(BLOCKS, count)
        return [np.flatnonzero(block[index] != number) for number in range(block.max() + 1)]


def validation_images(labels: Ints, patients: Sequence[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Boolean (N,): the images of about ``fraction`` of the patients with a malignant image, and as much of the others.

    Each kind of patient with at least 2 is on both sides. The choice depends on the seed and the order of the images.
    """
    index = numbered(patients)
    has_malignant = np.zeros(int(index.max()) + 1, dtype=np.int64)
    np.maximum.at(has_malignant, index, labels)
    rng = np.random.default_rng(seed)
    taken = []
    for kind in (0, 1):
        of_kind = rng.permutation(np.flatnonzero(has_malignant == kind))
        count = min(max(1, round(fraction * len(of_kind))), len(of_kind) - 1)
        taken.append(of_kind[: max(count, 0)])
    return np.isin(index, np.concatenate(taken))
