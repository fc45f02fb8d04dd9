"""The rare class alone: the data set that the generator learns."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan.data import manifest, summary
from mammogan.data.dataset import Dataset
from mammogan.data.replacement import replaced_folder
from mammogan.data.summary import MinoritySummary

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrainingSet:
    """What a trial learns from."""

    images: Tensor
    """Train images of the class to synthesise, (N, 1, H, W), uint8, [0, 255]."""
    patients: Sequence[str]
    """Patient of each image."""
    validation: Tensor
    """Validation images of the class by patients who are not in train, (V, 1, H, W), uint8, [0, 255]; of none
    (0, 1, 0, 0)."""
    validation_patients: Sequence[str]
    """Patient of each of them."""
    data_digest: str
    """Of all splits of the class: that of ``filter_minority``'s data set, whether made from it or from the whole."""


def filter_minority(dataset: Path, minority: str, out: Path) -> MinoritySummary:
    """Data set ``out`` of only the rarer class of the train split, or of the class named, all splits of it.

    Returns its summary. Raises ValueError where the train split holds one class only, and as ``summary.read`` does.
    """
    whole = Dataset.read(dataset)
    counts = _train_counts(whole)
    label = choose(counts, minority)
    kept = whole.of(label)
    found = MinoritySummary(
        label=label,
        name=manifest.CLASSES[label],
        train_counts=dict(zip(manifest.CLASSES, counts, strict=True)),
        missing=max(0, counts[1 - label] - counts[label]),
        data_digest=kept.digest,
        whole=summary.read(dataset).whole,
    )
    with replaced_folder(out) as part:
        for file in kept.files:
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(dataset / file, part / file)
        manifest.write(kept.frame, part)
        summary.write(found, str(part))
    return found


def training_set(folder: Path, minority: str) -> TrainingSet:
    """What a trial learns from, and is watched by, of the data set at ``folder``: ``filter_minority``'s or a whole one.

    Raises as ``Dataset.read`` and ``Dataset.images`` do.
    """
    whole = Dataset.read(folder)
    of_class = whole.of(label_to_synthesise(whole, minority))
    train, validation = of_class.train, of_class.held_out_validation
    return TrainingSet(
        train.images(),
        train.patients,
        validation.images(allow_empty=True),
        validation.patients,
        of_class.digest,
    )


def label_to_synthesise(dataset: Dataset, minority: str = "auto") -> int:
    """Label of the class that the generator learns from a data set: that of ``choose``, or the only one in train."""
    counts = _train_counts(dataset)
    return choose(counts, minority) if all(counts) else int(counts[1] > 0)


def _train_counts(dataset: Dataset) -> list[int]:
    """Train images of either class, by label."""
    return [len(dataset.train.of(label)) for label in (0, 1)]


def choose(counts: list[int], minority: str) -> int:
    """Label of the class to synthesise, from the train split's counts of benign and malignant images.

    A tie goes to malignant. Raises ValueError for a class without images or an unknown name.
    """
    if 0 in counts:
        present, absent = manifest.CLASSES[counts[0] == 0], manifest.CLASSES[counts[0] != 0]
        raise ValueError(
            f"train split: all {sum(counts)} images are {present} and none is {absent}; "
            "use more data, another data.subset or another data.split_seed"
        )
    if minority == "auto":
        return int(counts[1] <= counts[0])
    if minority not in manifest.CLASSES:
        raise ValueError(f"data.minority={minority!r}: choose one of auto, {', '.join(manifest.CLASSES)}")
    return manifest.CLASSES.index(minority)
