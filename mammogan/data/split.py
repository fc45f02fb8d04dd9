"""Train, validation and test: as a manifest says, else by patient, as published, or by image as the paper; the leaks.

By patient each one has a number in [0, 1): test lies below ``data.test_fraction``, validation in the interval of length
``data.validation_fraction`` above it, train in the rest. As published, CBIS-DDSM's test subsets are test, and the same
interval of the patients of its train subsets is validation. By image there is none: most of its patients would be in
train too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from mammogan.config import SUBSETS
from mammogan.data.manifest import CLASSES
from mammogan.data.patient_name import canonical
from mammogan.data.summary import Counts, Leak, Sides
from mammogan.results import Role

if TYPE_CHECKING:
    import pandas as pd

    from mammogan.config import DataConfig


SALT = "mammogan split 8617"
"""Never to be changed: it would move test patients into train. It was chosen before anything was trained by it, so that
CBIS-DDSM's subsets are met within two hundredths and the phantom and small numbered sets of patients have both classes
in train and in test."""


def assign(frame: pd.DataFrame, config: DataConfig) -> pd.Series:
    """The role of each row of a frame with ``image_id, label, patient_id, subset, split``, as ``Role`` spells it.

    Where ``split`` is given, it stays. The rows' order does not matter. Raises ValueError where a role lacks images, or
    a class that the frame has; validation may be empty where neither the rows nor the settings ask for it.
    """
    if is_given(frame):
        _require_roles(frame, "the manifest's column split", "give it some there, or leave the column out")
        return frame["split"]
    ordered = frame.sort_values("image_id")
    ordered = ordered.assign(split=_roles(ordered, config))
    _require_roles(ordered, f"data.split={config.split!r}", _fix(config), validation=config.validation_fraction > 0)
    return ordered["split"].reindex(frame.index)


def _roles(ordered: pd.DataFrame, config: DataConfig) -> np.ndarray:
    """Role of each row, (N,), of a frame sorted by ``image_id``."""
    if config.split == "image":
        test = _test_images(ordered["label"].to_numpy(), config.test_fraction, config.split_seed)
        return np.where(test, Role.TEST, Role.TRAIN)
    numbers = _numbers(ordered["patient_id"], config.split_seed)
    test = _test_subsets(ordered["subset"]) if config.split == "official" else numbers < config.test_fraction
    least = config.test_fraction
    validation = (numbers >= least) & (numbers < least + config.validation_fraction)
    return np.where(test, Role.TEST, np.where(validation, Role.VALIDATION, Role.TRAIN))


def _fix(config: DataConfig) -> str:
    if config.validation_fraction:
        more = "another data.split_seed, data.test_fraction or data.validation_fraction"
        return f"give more patients, {more} (0, with train.patience=0, does without validation)"
    return "give more patients, another data.split_seed or data.test_fraction, or use data.split=image"


def is_given(frame: pd.DataFrame) -> bool:
    """Whether the source says what its images are for: each of them, or, by ``picture_list``, none."""
    return bool((frame["split"] != "").any())


def _require_roles(frame: pd.DataFrame, origin: str, fix: str, *, validation: bool = False) -> None:
    """Refuse a role without one of the classes: nothing could be learnt there, or nothing be said of what was.

    Validation is asked for by ``validation``, or by a row of it.
    """
    asked = [role for role in Role if role is not Role.VALIDATION or validation or (frame["split"] == role).any()]
    for role in asked:
        there = set(frame.loc[frame["split"] == role, "label"])
        for label in sorted(set(frame["label"]) - there):
            of_class = int((frame["label"] == label).sum())
            raise ValueError(f"{origin}: the {role} split would have no {CLASSES[label]} image of {of_class}; {fix}")


def leak(frame: pd.DataFrame) -> Leak:
    """Patients in more than one role of ``split``, and those of their images that are not held out for it."""
    patients = {role: frame.loc[frame["split"] == role, "patient_id"] for role in Role}
    train, test, validation = patients[Role.TRAIN], patients[Role.TEST], patients[Role.VALIDATION]
    tested, watched = test[test.isin(train)], validation[validation.isin(train)]
    chosen_by = int((test.isin(validation) & ~test.isin(train)).sum())
    return Leak(tested.nunique(), len(tested), watched.nunique(), len(watched), chosen_by)


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
        known = [name for name in SUBSETS if (subsets == name).any()]
        others = len(set(subsets) - set(SUBSETS) - {""})  # a column of the source's own may name anybody
        named = " and ".join(filter(None, (", ".join(known), f"{others} that are not CBIS-DDSM's" if others else "")))
        raise ValueError(
            f"data.split='official': the images are of {named or 'no subset'}; take train "
            "and test subsets, such as data.subset=mass-train+mass-test"
        )
    return test


def _numbers(patients: pd.Series, seed: int) -> np.ndarray:
    """Each image's patient's own number, (N,), float64, in [0, 1): test below one fraction, validation from there on.

    The number is made of the patient's id alone, in any spelling, and the seed: whoever comes or leaves, everybody else
    stays where they were, so that no test or validation patient of an earlier data set is ever learnt from. Shares are
    met on average.
    """
    numbers = {patient: _number(patient, seed) for patient in patients.unique()}
    return patients.map(numbers).to_numpy(dtype=np.float64)


def _number(patient: str, seed: int) -> float:
    digest = hashlib.sha256(f"{SALT}/{seed}/{canonical(patient)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def describe(frame: pd.DataFrame, *, given: bool) -> Sides:
    """Images, classes and patients of each ``split``, and the leak; ``given`` tells whether a manifest said it."""
    counts = {role: count(frame[frame["split"] == role]) for role in Role}
    return Sides(counts[Role.TRAIN], counts[Role.TEST], leak(frame), counts[Role.VALIDATION], given)


def count(frame: pd.DataFrame) -> Counts:
    """Images, benign, malignant and patients of a frame."""
    malignant = int((frame["label"] == 1).sum())
    return Counts(
        images=len(frame),
        benign=len(frame) - malignant,
        malignant=malignant,
        patients=int(frame["patient_id"].nunique()),
    )
