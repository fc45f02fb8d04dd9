"""Train and test: split by image as the paper does, by patient, or as CBIS-DDSM was published; count what leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mammogan.data.manifest import CLASSES
from mammogan.data.summary import Counts, Leak, Sides

if TYPE_CHECKING:
    import pandas as pd

    from mammogan.config import DataConfig


def assign(frame: pd.DataFrame, config: DataConfig) -> pd.Series:
    """``train`` or ``test`` for each row of a frame with ``image_id``, ``label``, ``patient_id`` and ``subset``.

    The rows' order does not matter: they are taken by ``image_id``. Raises ValueError where both sides cannot be
    given images.
    """
    ordered = frame.sort_values("image_id")
    labels = ordered["label"].to_numpy()
    if config.split == "image":
        test = _test_images(labels, config.test_fraction, config.split_seed)
    elif config.split == "official":
        test = _test_subsets(ordered["subset"])
    else:
        test = _test_patients(labels, ordered["patient_id"].to_numpy(), config.test_fraction, config.split_seed)
    ordered = ordered.assign(split=np.where(test, "test", "train"))
    return ordered["split"].reindex(frame.index)


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


def _test_patients(labels: np.ndarray, patients: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Boolean (N,): whole patients whose images come closest to the fraction of each class.

    A two-dimensional subset-sum over patients in seeded order: ``reach[k][b, m]`` tells whether some of the first k
    patients hold b benign and m malignant images. It ends as soon as the exact target is within reach, which on real
    data is after about a fifth of the patients, so the test set is close to a plain random draw of patients.
    """
    names, index = np.unique(patients, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    counts = np.stack([np.bincount(index, labels == c, len(names)) for c in (0, 1)], axis=1).astype(int)
    total = counts.sum(axis=0)
    goal = fraction * total
    limits = np.minimum(total, np.ceil(goal).astype(int) + counts.max(axis=0))
    reach = [np.zeros(limits + 1, dtype=bool)]
    reach[0][0, 0] = True
    for patient in order:
        reach.append(_with_patient(reach[-1], counts[patient]))
        if reach[-1][tuple(np.rint(goal).astype(int))]:
            break
    cell = _closest(reach[-1], goal, total)
    test = np.zeros(len(names), dtype=bool)
    for step in range(len(reach) - 1, 0, -1):
        if not reach[step - 1][cell]:
            patient = order[step - 1]
            test[patient] = True
            cell = (cell[0] - counts[patient, 0], cell[1] - counts[patient, 1])
    return test[index]


def _with_patient(reach: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Sums that can be reached when one more patient may be taken."""
    b, m = count
    grown = reach.copy()
    grown[b:, m:] |= reach[: reach.shape[0] - b, : reach.shape[1] - m]
    return grown


def _closest(reach: np.ndarray, goal: np.ndarray, total: np.ndarray) -> tuple[int, int]:
    """Reachable (benign, malignant) nearest to the goal that leaves train every class and test at least an image.

    A test side with every class comes first where there is one; each class's miss counts relative to its size.
    """
    b, m = np.nonzero(reach)
    has_train = ((b < total[0]) | (total[0] == 0)) & ((m < total[1]) | (total[1] == 0))
    b, m = b[has_train & (b + m > 0)], m[has_train & (b + m > 0)]
    if b.size == 0:
        raise ValueError(
            f"data.split='patient': the {total.sum()} images cannot be split between patients so that train keeps "
            "every class; give more patients or use data.split=image"
        )
    lacks = ((b == 0) & (total[0] > 0)).astype(float) + ((m == 0) & (total[1] > 0))
    miss = np.abs(b - goal[0]) / max(total[0], 1) + np.abs(m - goal[1]) / max(total[1], 1)
    best = int(np.lexsort((miss, lacks))[0])
    return int(b[best]), int(m[best])


def missing_classes(frame: pd.DataFrame) -> list[str]:
    """A sentence for each class that the data set has and one side of its split has not."""
    sides = {(side, label) for side, label in zip(frame["split"], frame["label"], strict=True)}
    wanted = [(side, label) for side in ("train", "test") for label in sorted(set(frame["label"]))]
    return [f"no {CLASSES[label]} image in the {side} split" for side, label in wanted if (side, label) not in sides]


def describe(frame: pd.DataFrame) -> Sides:
    """Images, classes and patients on each side of ``split``, and the leak between them."""
    train, test = (count(frame[frame["split"] == side]) for side in ("train", "test"))
    return Sides(train, test, leak(frame))


def count(frame: pd.DataFrame) -> Counts:
    """Images, benign, malignant and patients of a frame."""
    malignant = int((frame["label"] == 1).sum())
    return Counts(
        images=len(frame),
        benign=len(frame) - malignant,
        malignant=malignant,
        patients=int(frame["patient_id"].nunique()),
    )
