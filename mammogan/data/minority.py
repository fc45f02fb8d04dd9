"""The rare class alone: the data set that the generator learns."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammogan.data import manifest
from mammogan.data.ingest import read_summary, replaced_folder, write_summary

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


def filter_minority(dataset: Path, minority: str, out: Path) -> dict[str, Any]:
    """Data set ``out`` of only the rarer class of the train split, or of the class named, both splits of it.

    Returns ``label`` and ``name`` of the class, ``train_counts`` of both classes, how many images are ``missing`` to
    balance the train split, and the new ``data_digest``; ``summary.json`` also keeps the whole set's summary under
    ``whole``. Raises ValueError where the train split holds one class only.
    """
    frame = manifest.read(dataset)
    counts = [int(((frame["split"] == "train") & (frame["label"] == label)).sum()) for label in (0, 1)]
    label = choose(counts, minority)
    kept = frame[frame["label"] == label]
    result = {
        "label": label,
        "name": manifest.CLASSES[label],
        "train_counts": dict(zip(manifest.CLASSES, counts, strict=True)),
        "missing": max(0, counts[1 - label] - counts[label]),
        "data_digest": manifest.data_digest(kept),
    }
    with replaced_folder(out) as part:
        for file in kept["file"]:
            (part / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(dataset / file, part / file)
        manifest.write(kept, part)
        write_summary({**result, "whole": read_summary(dataset)}, part)
    return result


def training_set(folder: Path, minority: str) -> tuple[Tensor, list[str], str]:
    """Images (N, 1, H, W), uint8, and patients of the train split of the class to synthesise, and the data's digest.

    The digest is that of ``filter_minority``'s data set, whether ``folder`` is that or the whole one.
    Raises as ``manifest.read`` and ``manifest.load_images`` do.
    """
    frame = manifest.read(folder)
    label = to_synthesise(frame, minority)
    of_class = manifest.select(frame, label=label)
    images = manifest.load_images(folder, split="train", label=label)
    patients = manifest.select(of_class, split="train")["patient_id"].tolist()
    return images, patients, manifest.data_digest(of_class)


def to_synthesise(frame: pd.DataFrame, minority: str = "auto") -> int:
    """Label of the class that the generator learns from a manifest: that of ``choose``, or the only one in train."""
    counts = [len(manifest.select(frame, split="train", label=label)) for label in (0, 1)]
    return choose(counts, minority) if all(counts) else int(counts[1] > 0)


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
