"""``summary.json`` beside a data set's manifest: what it holds and where it comes from, typed.

A whole data set has a ``Summary``, with a part ``synthetic`` where generated images fill it up; the rare class alone
has a ``MinoritySummary``, which keeps that of the whole it was taken from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mammogan import codec, storage
from mammogan.config import DataConfig, SynthesiseConfig

FILE = "summary.json"
FORMAT = 1
"""Raised when a field changes its meaning; a document without one is of format 1."""


AND = " and "
"""Between the layouts of a source that is several."""
NOBODY = frozenset({"phantom", "synthetic"})
"""Layouts of images that are of no patient."""


@dataclass(frozen=True)
class Counts:
    """Images and patients of a data set, or of a part of it."""

    images: int
    benign: int
    malignant: int
    patients: int
    """People, so that synthetic images have none."""

    def with_synthetic(self, benign: int, malignant: int) -> Counts:
        """These and so many synthetic images."""
        images = self.images + benign + malignant
        return Counts(images, self.benign + benign, self.malignant + malignant, self.patients)


@dataclass(frozen=True)
class Leak:
    """What the roles of a split share."""

    patients: int
    """Patients with images in train and in test."""
    test_images: int
    """Test images of these patients."""
    validation_patients: int = 0
    """Patients with images in train and in validation."""
    validation_images: int = 0
    """Validation images of these patients; nothing takes them for held out."""
    chosen_by: int = 0
    """Test images of patients who are in validation, and not in train; nothing takes these for held out either."""


@dataclass(frozen=True)
class Sides:
    """The roles of a split."""

    train: Counts
    test: Counts
    leak: Leak
    validation: Counts = Counts(images=0, benign=0, malignant=0, patients=0)
    """Images that nothing learns from, and that judge while there is something to choose; none by default."""
    given: bool = False
    """Whether the source's manifest says what an image is for; else the settings do."""


@dataclass(frozen=True)
class SyntheticPart:
    """The generated images of a filled data set."""

    key: str
    """Digest of all that they and their data set depend on."""
    model: str
    """Version of the model that made them, or the start of its snapshot's sha256."""
    snapshot_sha256: str
    class_: str
    """Class that they belong to."""
    settings: SynthesiseConfig
    images: int
    """How many there are."""
    drawn: int
    """Images drawn for that."""
    dropped: Mapping[str, int]
    """Reason to the number of drawn images that were left out for it."""


@dataclass(frozen=True)
class Summary(Counts):
    """A whole data set, real, synthetic or both."""

    source: str
    """Layout of the source; ``phantom``, ``synthetic``, or ``dicom and synthetic``."""
    subset: str
    """CBIS-DDSM's subsets, joined by ``+``."""
    splits: Sides
    data_digest: str
    """Hex sha256 of ``manifest.data_digest``."""
    mixed_labels: int = 0
    """Images that hold a benign and a malignant abnormality."""
    quarantined: int = 0
    """Rows set aside."""
    settings: DataConfig | None = None
    """With what it was ingested; None where nothing was."""
    synthetic: SyntheticPart | None = None
    burned_in: tuple[str, ...] = ()
    """Images whose DICOM file says that text is burnt into the pixels (BurnedInAnnotation, 0028,0301)."""

    @property
    def kinds(self) -> frozenset[str]:
        """The layouts that ``source`` names."""
        return frozenset(self.source.split(AND))

    @property
    def has_patients(self) -> bool:
        """Whether any of its images are of people."""
        return bool(self.kinds - NOBODY)

    @property
    def whole(self) -> Summary:
        """Itself."""
        return self


@dataclass(frozen=True)
class MinoritySummary:
    """The rare class alone, in all roles of the split."""

    label: int
    """0 benign, 1 malignant."""
    name: str
    """The label's name."""
    train_counts: Mapping[str, int]
    """Class to its images in the whole train split."""
    missing: int
    """Images that the class lacks to be as large as the other one in the train split."""
    data_digest: str
    """Of this class's images."""
    whole: Summary
    """Of the data set that it was taken from."""


def write(summary: Summary | MinoritySummary, folder: str) -> None:
    """Write ``summary.json`` of a data set, local or ``s3://``."""
    storage.write_bytes(storage.join(folder, FILE), codec.dumps(summary, FORMAT))


def read(folder: Path) -> Summary | MinoritySummary:
    """Summary of the data set at ``folder``. Raises FileNotFoundError where it has none, and as ``parse`` does."""
    return parse((folder / FILE).read_bytes(), str(folder / FILE))


def read_minority(folder: Path) -> MinoritySummary:
    """As ``read``. Raises ValueError for a data set of more than ``filter_minority``'s class."""
    summary = read(folder)
    if isinstance(summary, MinoritySummary):
        return summary
    raise ValueError(f"dataset={str(folder)!r}: a whole data set; give the one of the rare class alone")


def parse(document: bytes, where: str) -> Summary | MinoritySummary:
    """What a ``summary.json`` holds; ``where`` names it in errors. Raises as ``codec.loads`` does."""
    return codec.loads(MinoritySummary if _of_a_class(document) else Summary, document, FORMAT, where)


def _of_a_class(document: bytes) -> bool:
    """Whether it has the summary of a larger data set within; False where it is no JSON."""
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "whole" in content
