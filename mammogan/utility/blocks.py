"""What a study trains and tests on: real images by their use, synthetic ones by block, and the arms of each block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mammogan.config import Config
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.subgroups import grouping
from mammogan.errors import NotEnoughDataError
from mammogan.results import Role
from mammogan.statistics import Ints
from mammogan.synthesis import Model, draw_images
from mammogan.utility.arms import Arm, Pool, arms
from mammogan.utility.classifier import Classes
from mammogan.utility.held_out import HeldOut, validation_images

Draw = Callable[[int, int], Tensor]
"""Number of images and block -> images of the generator, uint8 (M, 1, H, W), others for each block."""


def drawn_by(model: Callable[[], Model], dataset: Path, config: Config, label: int | None = None) -> Draw:
    """Images of a generator for a block, none of which the data set was filled up with.

    ``label`` is their class, that of the data set's synthetic images where it is left out. Generator and data set are
    read once, when images are first asked for.
    """

    @cache
    def source() -> tuple[Model, Dataset, int]:
        whole = Dataset.read(dataset)
        return model(), whole, int(whole.synthetic.labels[0]) if label is None else label

    def draw(count: int, block: int) -> Tensor:
        generator, whole, of_class = source()
        return draw_images(generator, count, of_class, config, whole, config.synthesise.seed + block)

    return draw


@dataclass(frozen=True, eq=False)
class SyntheticSets:
    """What the generator made, block by block."""

    label: int
    """Class of the images."""
    by_block: tuple[Tensor, ...]
    """uint8 (M, 1, H, W) for each block; or one for all of them."""

    def of(self, number: int) -> Tensor:
        """Images of a block."""
        return self.by_block[number % len(self.by_block)]


@dataclass(frozen=True, eq=False)
class Sources:
    """Real images of a data set, by the use that a study makes of them."""

    images: Tensor
    """Of the train split, uint8 (N, 1, H, W)."""
    labels: Ints
    """(N,)."""
    patients: tuple[str, ...]
    test: HeldOut
    test_images: Tensor
    """uint8 (T, 1, H, W)."""
    left_out: int
    """Test images of train patients."""
    validation: Classes | None
    """Validation images of the data set, by patients who are not in train; None where it has none."""

    @property
    def validation_role(self) -> Role:
        """Out of what the images come that end a training."""
        return Role.TRAIN if self.validation is None else Role.VALIDATION


@dataclass(frozen=True, eq=False)
class Block:
    """What is trained together: the same seed, validation patients and synthetic images for every arm."""

    seed: int
    arms: tuple[Arm, ...]
    validation: Classes
    share: float
    """Share of malignant ones among the real images to train on."""


def synthetic_sets(
    whole: Dataset, fakes: Tensor | None, label: int | None, blocks: int, draw: Draw | None
) -> SyntheticSets:
    """The first block's images, of the data set or from outside, and by ``draw`` those of the others.

    Raises ValueError where there are none.
    """
    if fakes is None:
        if not len(whole.synthetic):
            raise ValueError(f"dataset={str(whole.root)!r}: it holds no synthetic images; fill it with synthesise")
        fakes, label = whole.synthetic.images(), int(whole.synthetic.labels[0])
    assert label is not None, "images from outside come with their class"
    more = [draw(len(fakes), number) for number in range(1, blocks)] if draw else []
    return SyntheticSets(label, (fakes, *more))


def sources_of(whole: Dataset) -> Sources:
    """Real images by their split, those of test and validation without the train patients'. Raises NotEnoughDataError.

    Validation images all of whose patients are in train too are as none.
    """
    train, test = whole.real.train, whole.real.test
    held_out = whole.real.held_out
    for name, side in (("train", train), ("test", held_out)):
        for number, kind in enumerate(manifest.CLASSES):
            patients = len(set(side.of(number).patients))
            if patients < 2:
                raise NotEnoughDataError(
                    f"dataset={str(whole.root)!r}: {patients} {kind} patients in {name}; the study needs 2 or more"
                )
    return Sources(
        train.images(),
        train.labels,
        tuple(train.patients),
        HeldOut(held_out.labels, held_out.patients, grouping(held_out)),
        held_out.images(),
        len(test) - len(held_out),
        _validation(whole),
    )


def _validation(whole: Dataset) -> Classes | None:
    """Benign and malignant validation images. Raises NotEnoughDataError where it has one of the classes alone."""
    validation = whole.held_out_validation.real
    if not len(validation):
        return None
    for number, kind in enumerate(manifest.CLASSES):
        if not len(validation.of(number)):
            raise NotEnoughDataError(
                f"dataset={str(whole.root)!r}: no {kind} validation image is of a patient who is not in train; "
                "the study needs some of both classes, or no validation at all"
            )
    return validation.of(0).images(), validation.of(1).images()


def block_of(sources: Sources, sets: SyntheticSets, number: int, config: Config) -> Block:
    """A block; where the data set has no validation patients they are drawn out of train, by the block's number.

    Raises NotEnoughDataError where that leaves a side of one class.
    """
    if sources.validation is not None:
        everything = np.ones(len(sources.labels), dtype=bool)
        return _block(_classes(sources, everything), sources.validation, sets, number, config)
    settings = config.utility
    watched = validation_images(sources.labels, sources.patients, settings.validation_fraction, number)
    learnt, judged = (_classes(sources, side) for side in (~watched, watched))
    for name, side in (("to train on", learnt), ("for validation", judged)):
        for kind, images in zip(manifest.CLASSES, side, strict=True):
            if not len(images):
                raise NotEnoughDataError(
                    f"utility.validation_fraction={settings.validation_fraction!r}: it leaves no {kind} images {name}; "
                    "patients with images of both classes count as malignant, so give more patients of one class"
                )
    return _block(learnt, judged, sets, number, config)


def _block(learnt: Classes, judged: Classes, sets: SyntheticSets, number: int, config: Config) -> Block:
    pool = Pool(learnt, sets.of(number), sets.label)
    share = len(learnt[1]) / (len(learnt[0]) + len(learnt[1]))
    return Block(number, tuple(arms(pool, config.utility.shares)), judged, share)


def _classes(sources: Sources, chosen: np.ndarray) -> Classes:
    benign, malignant = (torch.from_numpy(chosen & (sources.labels == label)) for label in (0, 1))
    return sources.images[benign], sources.images[malignant]
