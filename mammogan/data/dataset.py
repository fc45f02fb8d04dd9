"""A data set on disk as one object: its manifest is read once, whatever part of it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan import storage
from mammogan.data import manifest
from mammogan.data.patient_name import canonical

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from mammogan.statistics import Ints


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of a data set, in the order of ``image_id``: all of them, or those that it was narrowed to.

    Narrowing gives a new object and reads nothing: ``dataset.train.real.of(label=1).images()``. A data set without
    images counts as false; compare with None where that is meant.
    """

    root: Path
    """Folder that holds ``manifest.csv`` and ``images/``."""
    frame: pd.DataFrame = field(repr=False)
    """Rows of the manifest, one an image, numbers as int64; to be read, never changed, for others may share it."""
    narrowing: tuple[str, ...] = ()
    """What the images were chosen by, such as ``split='train'``; for messages."""

    @classmethod
    def read(cls, root: Path) -> Dataset:
        """All images of the data set at ``root``; no picture is opened. Raises as ``manifest.read`` does."""
        return cls(root, manifest.read(root))

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder has a manifest, and so is a data set rather than a plain folder of images."""
        manifest.put_back(folder)
        return (folder / manifest.FILE).is_file()

    @property
    def train(self) -> Dataset:
        """Images of the train split."""
        return self._where(self.frame["split"] == "train", "split='train'")

    @property
    def test(self) -> Dataset:
        """Images of the test split."""
        return self._where(self.frame["split"] == "test", "split='test'")

    @property
    def validation(self) -> Dataset:
        """Images of the validation split."""
        return self._where(self.frame["split"] == "validation", "split='validation'")

    @property
    def held_out_validation(self) -> Dataset:
        """Validation images of patients who have none in train: nothing was learnt by them."""
        return self.validation.without_patients_of(self.train)

    @property
    def real(self) -> Dataset:
        """Images that a scanner made."""
        return self._where(self.frame["source"] != manifest.SYNTHETIC, "real")

    @property
    def synthetic(self) -> Dataset:
        """Images that a generator made."""
        return self._where(self.frame["source"] == manifest.SYNTHETIC, "synthetic")

    def of(self, label: int | None) -> Dataset:
        """Images of one class; of every class where ``label`` is None."""
        return self if label is None else self._where(self.frame["label"] == label, f"label={label}")

    def without_patients_of(self, other: Dataset) -> Dataset:
        """Images of patients who have none in ``other``."""
        own, others = (frame["patient_id"].map(canonical) for frame in (self.frame, other.frame))
        return self._where(~own.isin(others), "patients of their own")

    @property
    def held_out(self) -> Dataset:
        """Test images of patients who have none in train or validation: nothing was learnt or chosen by them."""
        return self.test.without_patients_of(self.train).without_patients_of(self.validation)

    def _where(self, chosen: pd.Series, reason: str) -> Dataset:
        return replace(self, frame=self.frame[chosen], narrowing=(*self.narrowing, reason))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def labels(self) -> Ints:
        """Label of each image, (N,), int64: 0 benign, 1 malignant; a copy."""
        return self.frame["label"].to_numpy(copy=True)

    @property
    def patients(self) -> list[str]:
        """Patient of each image."""
        return self.frame["patient_id"].tolist()

    @property
    def image_ids(self) -> list[str]:
        """Name of each image."""
        return self.frame["image_id"].tolist()

    @property
    def pseudonyms(self) -> list[str]:
        """What each image is called where nobody may learn whose it is, whatever its name here."""
        return self.frame["sha256"].map(manifest.name_of).tolist()

    @property
    def files(self) -> list[str]:
        """Path of each picture below ``root``."""
        return self.frame["file"].tolist()

    @property
    def classes(self) -> list[str]:
        """Names of the classes that have images, benign first."""
        return [manifest.CLASSES[label] for label in sorted(self.frame["label"].unique())]

    @property
    def digest(self) -> str:
        """Hex sha256 of what these images are, as ``manifest.data_digest`` gives it."""
        return manifest.data_digest(self.frame)

    @property
    def source_digest(self) -> str:
        """Hex sha256 of which pictures these are, as ``manifest.source_digest`` gives it."""
        return manifest.source_digest(self.frame)

    def images(self, *, allow_empty: bool = False) -> Tensor:
        """The pictures, (N, 1, H, W), uint8, [0, 255], read anew at each call; of none (0, 1, 0, 0) by ``allow_empty``.

        Raises ValueError where there are none and ``allow_empty`` is not set, where they differ in size, and as
        ``picture.read`` does.
        """
        import numpy as np
        import torch

        from mammogan.data import picture

        if not len(self):
            if allow_empty:
                return torch.empty(0, 1, 0, 0, dtype=torch.uint8)
            asked = ", ".join(self.narrowing) or "all images"
            raise ValueError(f"{asked}: the data set at {self.root} holds no such image")
        pictures = [picture.read(storage.inside(self.root, file)) for file in self.files]
        if len({each.shape for each in pictures}) > 1:
            raise ValueError(f"{self.root}: the images differ in size; ingest again")
        return torch.from_numpy(np.stack(pictures))[:, None]
