"""Train and test: as a manifest says, else by image as the paper, by patient, or as published; count what leaks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from mammogan.data.manifest import CLASSES, ROLES
from mammogan.data.summary import Counts, Leak, Sides

if TYPE_CHECKING:
    import pandas as pd

    from mammogan.config import DataConfig


SALT = "mammogan split 8617"
"""Never to be changed: it would move test patients into train. It was chosen before anything was trained by it, so that
CBIS-DDSM's subsets are met within two hundredths and the phantom and small numbered sets of patients have both classes
on both sides."""


def assign(frame: pd.DataFrame, config: DataConfig) -> pd.Series:
    """``train`` or ``test`` for each row of a frame with ``image_id, label, patient_id, subset, split``.

    Where ``split`` is given, it stays, ``validation`` too. The rows' order does not matter. Raises ValueError where
    train or test lacks images, or a class that the frame has.
    """
    if is_given(frame):
        _require_both_sides(frame, "the manifest's column split", "give it some there, or leave the column out")
        return frame["split"]
    ordered = frame.sort_values("image_id")
    labels = ordered["label"].to_numpy()
    if config.split == "image":
        test = _test_images(labels, config.test_fraction, config.split_seed)
    elif config.split == "official":
        test = _test_subsets(ordered["subset"])
    else:
        test = _test_patients(ordered["patient_id"], config.test_fraction, config.split_seed)
    ordered = ordered.assign(split=np.where(test, "test", "train"))
    fix = "give more patients, another data.split_seed or data.test_fraction, or use data.split=image"
    _require_both_sides(ordered, f"data.split={config.split!r}", fix)
    return ordered["split"].reindex(frame.index)


def is_given(frame: pd.DataFrame) -> bool:
    """Whether the source says what its images are for: each of them, or, by ``picture_list``, none."""
    return bool((frame["split"] != "").any())


def _require_both_sides(frame: pd.DataFrame, origin: str, fix: str) -> None:
    """Refuse a side without one of the classes: nothing could be learnt there, or nothing be said of what was."""
    for side in ("train", "test"):
        there = set(frame.loc[frame["split"] == side, "label"])
        for label in sorted(set(frame["label"]) - there):
            of_class = int((frame["label"] == label).sum())
            raise ValueError(f"{origin}: the {side} split would have no {CLASSES[label]} image of {of_class}; {fix}")


def leak(frame: pd.DataFrame) -> Leak:
    """Patients on both sides of ``split``, and the test images whose patient is also in train."""
    train = set(frame.loc[frame["split"] == "train", "patient_id"])
    test = frame.loc[frame["split"] == "test", "patient_id"]
    return Leak(patients=len(train & set(test)), test_images=int(test.isin(train).sum()))


def _test_images(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Boolean (N,): scikit-learn's stratified split, the one that gives the paper's 246 test images."""
    from sklearn.model_selection import train_test_split

    counts = np.bincount(labels, minlength=2)
    wanted = counts[counts > 0]
    if wanted.size == 0 or wanted.min() < 2 or np.ceil(fraction * len(labels)) < wanted.size:
        raise ValueError(
            f"data.split='image': {counts[0]} benign and {counts[1]} malignant images cannot both be split with "
            f"data.test_fraction={fraction:g}; give more images or a larger share"
        )
    _, chosen = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
    return np.isin(np.arange(len(labels)), chosen)


def _test_subsets(subsets: pd.Series) -> np.ndarray:
    """Boolean (N,): the images of CBIS-DDSM's test subsets."""
    test = subsets.str.endswith("-test").to_numpy()
    if test.all() or not test.any():
        raise ValueError(
            f"data.split='official': the images are of {', '.join(sorted(set(subsets))) or 'no subset'}; take train "
            "and test subsets, such as data.subset=mass-train+mass-test"
        )
    return test


def _test_patients(patients: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Boolean (N,): the images of patients whose own number in [0, 1) lies below the fraction.

    The number is made of the patient's id alone, and the seed: whoever comes or leaves, everybody else stays where they
    were, so that no test patient of an earlier data set is ever learnt from. The fraction is met on average.
    """
    numbers = {patient: _number(patient, seed) for patient in patients.unique()}
    return patients.map(numbers).to_numpy() < fraction


def _number(patient: str, seed: int) -> float:
    digest = hashlib.sha256(f"{SALT}/{seed}/{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def describe(frame: pd.DataFrame, *, given: bool) -> Sides:
    """Images, classes and patients of each ``split``, and the leak; ``given`` tells whether a manifest said it."""
    train, test, validation = (count(frame[frame["split"] == role]) for role in ROLES)
    return Sides(train, test, leak(frame), validation, given)


def count(frame: pd.DataFrame) -> Counts:
    """Images, benign, malignant and patients of a frame."""
    malignant = int((frame["label"] == 1).sum())
    return Counts(
        images=len(frame),
        benign=len(frame) - malignant,
        malignant=malignant,
        patients=int(frame["patient_id"].nunique()),
    )
