"""The images of a study: drawn at random, of both kinds alike in number and size, one of each patient."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mammogan import storage
from mammogan.data import image_folder, picture
from mammogan.data.dataset import Dataset
from mammogan.reader_study.kind import Kind


@dataclass(frozen=True, eq=False)
class Picture:
    """One image and where it comes from."""

    kind: Kind
    name: str
    """Of a real one its pseudonym, as audit and report use it; of a synthetic one its file."""
    pixels: np.ndarray = field(repr=False)
    """(rows, columns), uint8, [0, 255]."""

    @property
    def sha256(self) -> str:
        """Of the pixels alone, whatever file they came in."""
        return hashlib.sha256(self.pixels.tobytes()).hexdigest()

    @property
    def size(self) -> str:
        """Columns and rows, such as ``224x224``."""
        return f"{self.pixels.shape[1]}x{self.pixels.shape[0]}"


@dataclass(frozen=True)
class _Source:
    """An image that may be drawn: where it lies and what it is called."""

    path: Path
    name: str


def draw(real: Path, synthetic: Path, label: int, count: int, seed: int) -> tuple[list[Picture], list[Picture]]:
    """``count`` real and as many synthetic images of a class, in random order, no picture twice.

    ``real`` is a data set, of which each patient gives one image; ``synthetic`` is a folder of images or a data set
    with synthetic ones. The same seed draws the same images from the same folders. Raises ValueError where there are
    too few, where sizes differ, where a synthetic image has the pixels of a real one, and as ``Dataset.read`` does.
    """
    rng = np.random.default_rng(seed)
    reals = _drawn(Kind.REAL, _of_patients(real, label, rng), count)
    fakes = _drawn(Kind.SYNTHETIC, _of_generator(synthetic, label, rng), count)
    _check_sizes([*reals, *fakes])
    _check_copies(reals, fakes)
    return reals, fakes


def _of_patients(folder: Path, label: int, rng: np.random.Generator) -> Iterator[_Source]:
    """One real image of each patient, the patients in random order."""
    if not Dataset.is_at(folder):
        raise ValueError(
            f"--real={str(folder)!r}: no data set, so nobody knows whose its images are; make one with mammogan ingest"
        )
    dataset = Dataset.read(folder).real.of(label)
    of_patient: dict[str, list[_Source]] = {}
    for patient, file, name in zip(dataset.patients, dataset.files, dataset.pseudonyms, strict=True):
        of_patient.setdefault(patient, []).append(_Source(storage.inside(folder, file), name))
    sources = [of_patient[patient] for patient in sorted(of_patient)]
    for number in rng.permutation(len(sources)):
        yield sources[number][rng.integers(len(sources[number]))]


def _of_generator(folder: Path, label: int, rng: np.random.Generator) -> Iterator[_Source]:
    """Synthetic images in random order."""
    if Dataset.is_at(folder):
        dataset = Dataset.read(folder).synthetic.of(label)
        sources = [_Source(storage.inside(folder, file), Path(file).name) for file in dataset.files]
    else:
        sources = [_Source(path, path.relative_to(folder).as_posix()) for path in image_folder.list_images(folder)]
    for number in rng.permutation(len(sources)):
        yield sources[number]


def _drawn(kind: Kind, sources: Iterable[_Source], count: int) -> list[Picture]:
    """The first ``count`` of them that differ from each other."""
    pictures: dict[str, Picture] = {}
    for source in sources:
        if len(pictures) == count:
            break
        candidate = Picture(kind, source.name, picture.read(source.path))
        pictures.setdefault(candidate.sha256, candidate)
    if len(pictures) < count:
        unit = "patients with such an image" if kind is Kind.REAL else "different images"
        raise ValueError(
            f"--{kind.value}: {len(pictures)} {unit}, the study needs {count}, practice included; "
            "give more, or lower --images"
        )
    return list(pictures.values())


def _check_sizes(pictures: Iterable[Picture]) -> None:
    first, *others = pictures
    for other in others:
        if other.pixels.shape != first.pixels.shape:
            raise ValueError(
                f"--{other.kind.value}: {other.name} is {other.size}, {first.name} is {first.size}: a size tells the "
                "kind of an image, so bring all to one"
            )


def _check_copies(reals: Iterable[Picture], fakes: Iterable[Picture]) -> None:
    """Nobody can be right or wrong about an image that is both."""
    names = {item.sha256: item.name for item in reals}
    for fake in fakes:
        if fake.sha256 in names:
            raise ValueError(
                f"--synthetic: {fake.name} has the very pixels of the real {names[fake.sha256]}; the generator copies: "
                "see mammogan audit"
            )
