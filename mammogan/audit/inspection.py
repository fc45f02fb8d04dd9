"""The audit: three sets of images in, numbers with intervals and the gates' verdicts out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mammogan import console, results, storage
from mammogan.audit import page
from mammogan.audit.answers import Answers, Likeness, by_critic, by_distance, by_moves
from mammogan.audit.critic_scores import CriticScores, Reals, critic_scores
from mammogan.audit.distances import Space, load_spaces, measure
from mammogan.audit.judgement import Sample
from mammogan.config import AuditCheck, AuditConfig, Config
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.device import pick_device
from mammogan.errors import NotEnoughDataError
from mammogan.image_tensors import same_size
from mammogan.records import WITH_REALS
from mammogan.results import (
    Audit,
    AuditCounts,
    ClosestPair,
    CopiedImage,
    Outcome,
    Role,
    SpaceNote,
    Verdict,
)
from mammogan.statistics import Ints

FILE = "audit.json"
CLOSEST = 6
"""Pairs shown for each space."""


def inspect(
    train: Reals,
    held_out: Reals,
    fakes: Tensor,
    spaces: Sequence[Space],
    config: AuditConfig,
    *,
    batch_size: int = 50,
    critic: CriticScores | None = None,
    device: torch.device | None = None,
    drawn: int = 0,
) -> Audit:
    """Compare synthetic images (M, 1, H, W), uint8, with the training images and with images of other patients.

    Exact copies are looked for among all of them, all else among ``config.fakes`` at most, half of these out of the
    last ``drawn`` ones, or as many as there are; moved copies on ``device``, which takes minutes for a thousand images
    and is not made without one.
    Raises NotEnoughDataError for sets that are too small, ValueError for those that differ in size or share a patient.
    """
    _check(train, held_out, fakes)
    chosen = _chosen(len(fakes) - drawn, drawn, config.fakes)
    compared = fakes[torch.from_numpy(chosen)]
    sample = _sample(train, held_out, len(chosen), config.confidence)
    answers = [by_moves(train, held_out, compared, sample, config, device)]
    with console.progress("audit", len(spaces), unit="feature spaces") as advance:
        for space in spaces:
            distances = measure(space, train.images, held_out.images, compared, batch_size)
            answers.append(by_distance(distances, train.patients, held_out.patients, config, space))
            advance(note=space.name)
    answers.append(by_critic(critic, sample, config))
    copied = exact_copies(train.images, fakes)
    pairs = [pair for answer in answers for pair in answer.pairs]
    counts = AuditCounts(
        train=len(train.images),
        held_out=len(held_out.images),
        held_out_patients=sample.held_out_patients,
        fakes=len(fakes),
        compared=len(chosen),
        exact_copies=copied,
        exact_repeats=len(fakes) - len(set(_hashable(fakes))),
    )
    return Audit(
        verdicts=(_no_exact_copies(copied, len(fakes)), *(item for answer in answers for item in answer.verdicts)),
        measures=tuple(item for answer in answers for item in answer.measures),
        closest=tuple(_closest(answers, chosen)),
        copied=tuple(_copied(pairs, chosen)),
        counts=counts,
        spaces=tuple(SpaceNote(space.name, space.note) for space in spaces),
        required=config.required,
        loosened=config.loosened,
    )


def _check(train: Reals, held_out: Reals, fakes: Tensor) -> None:
    for name, count, least in (("train", len(train.images), 3), ("fakes", len(fakes), 2)):
        if count < least:
            raise NotEnoughDataError(f"{name} has {count} images: the audit needs at least {least}")
    for images in (held_out.images, fakes):
        if len(images):
            same_size(train.images, images)
    if both := set(train.patients) & set(held_out.patients):
        raise ValueError(f"held_out: {len(both)} of its patients are in train too; hold out other patients")


def _sample(train: Reals, held_out: Reals, fakes: int, confidence: float) -> Sample:
    patients = len(set(train.patients)), len(set(held_out.patients))
    return Sample(len(train.images), len(held_out.images), fakes, *patients, confidence)


def _no_exact_copies(copied: int, count: int) -> Verdict:
    why = f"synthetic images that are a training image pixel by pixel, mirrored or not: {copied} of {count}; at most 0"
    outcome = Outcome.REFUSED if copied else Outcome.PASSED
    return Verdict("exact copies", outcome, why, AuditCheck.EXACT_COPIES)


def exact_copies(train: Tensor, fakes: Tensor) -> int:
    """Synthetic images whose pixels are those of a training image, mirrored or not."""
    known = set(_hashable(train)) | set(_hashable(train.flip(-1)))
    return sum(image in known for image in _hashable(fakes))


def _hashable(images: Tensor) -> Iterator[bytes]:
    return (hashlib.sha256(image.numpy().tobytes()).digest() for image in images)


def _chosen(given: int, drawn: int, most: int) -> Ints:
    """At most ``most`` of the ``given`` images and of the ``drawn`` ones behind them, of each half where it can be."""
    of_drawn = min(drawn, max(most // 2, most - given))
    return np.concatenate([_evenly(given, most - of_drawn), given + _evenly(drawn, of_drawn)])


def _evenly(count: int, most: int) -> Ints:
    """At most ``most`` of the indices below ``count``, evenly taken."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _closest(answers: Iterable[Answers], chosen: Ints) -> Iterator[ClosestPair]:
    """Of each way of looking the synthetic images, by their place among all, that are most like copies."""
    for answer in answers:
        for pair in sorted(answer.pairs, key=lambda pair: pair.ratio)[:CLOSEST]:
            yield ClosestPair(pair.space, int(chosen[pair.fake]), pair.train, pair.distance, pair.ratio)


def _copied(pairs: Iterable[Likeness], chosen: Ints) -> list[CopiedImage]:
    """Training images that are copied, with the synthetic ones, the most often copied first."""
    by_train: dict[int, list[Likeness]] = {}
    for pair in pairs:
        if pair.copied:
            by_train.setdefault(pair.train, []).append(pair)
    images = [
        CopiedImage(
            train,
            tuple(sorted({int(chosen[pair.fake]) for pair in of_train})),
            tuple(dict.fromkeys(pair.space for pair in of_train)),
        )
        for train, of_train in by_train.items()
    ]
    return sorted(images, key=lambda image: (-len(image.fakes), image.train))


def _label_of_synthetic(dataset: Dataset) -> int:
    """Label of the images that a generator made, malignant where there are none."""
    return int(dataset.synthetic.labels[0]) if len(dataset.synthetic) else 1


def _to_draw(given: int, config: Config) -> int:
    """Further images that it takes: a set without what lies near training images says nothing of its generator."""
    made = config.synthesise
    picked = made.min_realism > 0 or made.min_distance > 0 or made.truncation < 1
    return config.audit.fakes if picked else max(0, config.audit.fakes - given)


def audit_dataset(
    dataset: Path, config: Config, out: Path, *, fakes: Tensor | None = None, label: int | None = None,
    critic: Path | None = None, more: Callable[[int], Tensor] | None = None,
) -> Audit:  # fmt: skip
    """Audit the synthetic images of a filled data set, or ``fakes`` against class ``label`` of any data set.

    Train are the real train images of the class, held out the validation images of patients who are not in train; where
    there are none, which ``AuditCounts.held_out_role`` says, the test images of patients who are in no other split.
    ``critic`` is the file of a critic that was trained on the former. ``more(count)`` gives ``count`` further images of
    the same generator, uint8 (count, 1, H, W), as it draws them by itself: as many as the synthetic ones are fewer than
    ``audit.fakes``, and ``audit.fakes`` where the settings of ``synthesise`` made a choice among its images. Writes
    ``audit.json``, ``audit.html`` and ``closest.png``, or with ``report.real_images`` ``pairs.png`` and ``reals.png``,
    below ``out`` and returns the first one. Raises ValueError for a data set without synthetic images where no
    ``fakes`` are given, and as ``inspect`` and ``critic_scores`` do.
    """
    whole = Dataset.read(dataset)
    label = _label_of_synthetic(whole) if label is None else label
    known = _KnownImages(whole.real.of(label), whole.held_out_validation.real.of(label), whole.held_out.real.of(label))
    if fakes is None and not len(whole.synthetic):
        raise ValueError(
            f"dataset={str(dataset)!r}: it holds no synthetic images; fill it with synthesise or give some"
        )
    fakes = whole.synthetic.images() if fakes is None else fakes
    reals = [Reals(side.images(allow_empty=True), side.patients) for side in (known.real.train, known.held_out)]
    _check(*reals, fakes)
    judged = critic_scores(critic, *reals, known.real.digest, config) if critic else None
    drawn = _to_draw(len(fakes), config) if more else 0
    if more and drawn:
        fakes = torch.cat([fakes, more(drawn)])
    result = inspect(
        *reals, fakes, load_spaces(config.evaluate), config.audit,
        batch_size=config.evaluate.batch_size, critic=judged,
        device=pick_device(config.evaluate.device, "evaluate.device"), drawn=drawn,
    )  # fmt: skip
    result = known.named(dataclasses.replace(result, label=manifest.CLASSES[label]), drawn)
    _write(result, page.pictures(result.closest, fakes, reals[0].images if config.report.real_images else None), out)
    return result


@dataclass(frozen=True)
class _KnownImages:
    """The real images of the audited class."""

    real: Dataset
    validation: Dataset
    """Those of patients who are not in train."""
    test: Dataset
    """Those of patients who are in no other split."""

    @property
    def role(self) -> Role:
        """What stands for images that the generator cannot know."""
        return Role.VALIDATION if len(self.validation) else Role.TEST

    @property
    def held_out(self) -> Dataset:
        """Them."""
        return self.validation if self.role is Role.VALIDATION else self.test

    def named(self, result: Audit, drawn: int) -> Audit:
        """The audit with the pseudonyms of train images, and the counts that only the data set tells."""
        names, shared = self.real.train.pseudonyms, len(self.real.test) - len(self.test)
        counts = dataclasses.replace(
            result.counts,
            drawn=drawn,
            held_out_role=self.role,
            test_images_of_train_patients=shared if self.role is Role.TEST else 0,
            validation_images_left_out=len(self.real.validation) - len(self.validation),
        )
        return dataclasses.replace(
            result,
            counts=counts,
            closest=tuple(dataclasses.replace(pair, train_image=names[pair.train]) for pair in result.closest),
            copied=tuple(dataclasses.replace(image, train_image=names[image.train]) for image in result.copied),
        )


def _write(result: Audit, pictures: Mapping[str, bytes], out: Path) -> None:
    """Write the record, its page and pictures; all are made before, so that a failure leaves no half result."""
    files = {f"{name}.png": picture for name, picture in pictures.items()}
    files |= {page.PAGE: page.render(result, pictures), FILE: results.document(result)}
    for file, written in files.items():
        storage.write_bytes(str(out / file), written)
    for name in {page.CLOSEST, *WITH_REALS} - pictures.keys():  # of an earlier audit
        storage.remove(str(out / f"{name}.png"))
