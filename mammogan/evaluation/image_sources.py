"""Where real and generated images come from: a data set, which tells them apart, or a plain folder of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.image_folder import read_images
from mammogan.statistics import Ints, numbered

Source = Dataset | Path
"""A data set, or a folder without a manifest."""


@dataclass(frozen=True, eq=False)
class RealImages:
    """Real images and whose they are."""

    images: Tensor
    """(N, 1, H, W), uint8."""
    patients: Ints
    """(N,): number of each image's patient, 0 for the first that appears."""

    @classmethod
    def unrelated(cls, images: Tensor) -> RealImages:
        """Images of which nothing is known: each is taken for a patient of its own."""
        return cls(images, np.arange(len(images)))

    @classmethod
    def of(cls, dataset: Dataset) -> RealImages:
        """All images of a data set, which may be none; raises as ``Dataset.images`` does."""
        return cls(dataset.images(allow_empty=True), numbered(dataset.patients))

    def __len__(self) -> int:
        return len(self.images)


def open_source(folder: Path) -> Source:
    """The data set at ``folder``, its manifest read, or the folder as given. Raises as ``Dataset.read`` does."""
    return Dataset.read(folder) if Dataset.is_at(folder) else folder


def read_reals(source: Source, label: int | None = None) -> dict[str, RealImages]:
    """Real images by pairing: ``train`` and ``test`` of a data set, else ``real_fake``.

    Of a data set none of the synthetic images, with ``label`` only that class, and as test only patients who have none
    in train or validation, as the winner is measured on; test may be empty. Raises ValueError where its train split
    holds no such image, and as ``Dataset.images`` and ``read_images`` do.
    """
    if isinstance(source, Path):
        return {"real_fake": RealImages.unrelated(read_images(source))}
    reals = source.real.of(label)
    return {"train": _train(reals, label), "test": RealImages.of(reals.held_out)}


def _train(reals: Dataset, label: int | None) -> RealImages:
    """Those of the train split. Raises ValueError where there are none."""
    if not len(reals.train):
        kind = _kind("real", label)
        raise ValueError(f"real={str(reals.root)!r}: its train split holds no {kind}; give the data set of `ingest`")
    return RealImages.of(reals.train)


def ranking_reals(dataset: Dataset) -> dict[str, RealImages]:
    """What snapshots are ranked by: ``train`` and, where patients who have none in train are in it, ``validation``.

    Never the test images: whatever is chosen by them is measured too well on them. Raises as ``read_reals``.
    """
    reals = dataset.real
    by_pairing = {"train": _train(reals, None)}
    apart = reals.held_out_validation
    return {**by_pairing, "validation": RealImages.of(apart)} if len(apart) else by_pairing


def read_fakes(source: Source, label: int | None = None) -> Tensor:
    """Generated images (N, 1, H, W), uint8: those of a folder, or the synthetic ones of a data set.

    With ``label`` only that class of a data set. Raises ValueError for a data set without such images, and as
    ``Dataset.images`` and ``read_images`` do.
    """
    if isinstance(source, Path):
        return read_images(source)
    fakes = source.synthetic.of(label)
    if not len(fakes):
        kind = _kind("synthetic", label)
        raise ValueError(f"fake={str(source.root)!r}: the data set holds no {kind}; fill it with synthesise")
    return fakes.images()


def _kind(origin: str, label: int | None) -> str:
    return f"{origin} image" if label is None else f"{origin} {manifest.CLASSES[label]} image"
