"""The audit: three sets of images in, numbers with intervals and the gates' verdicts out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mammogan import console, results, storage
from mammogan.audit import copies, membership, page
from mammogan.audit.critic_scores import CriticScores, Reals, critic_scores
from mammogan.audit.distances import Distances, Space, load_spaces, measure, pixel_embedding
from mammogan.config import AuditConfig, Config
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.errors import NotEnoughDataError
from mammogan.image_tensors import same_size
from mammogan.results import Audit, AuditCounts, AuditMeasure, ClosestPair, Outcome, SpaceNote, Verdict
from mammogan.selection import gates
from mammogan.statistics import Estimate, Ints

FILE = "audit.json"
CLOSEST = 6
"""Pairs shown for each space."""
FEWEST_PATIENTS = 5
"""Held-out patients below which nothing is said of membership."""
FEW = f"fewer than {FEWEST_PATIENTS} held-out patients"
MEANINGS = {
    "memorised": "share of synthetic images that copy a training image",
    "repeated": "share of synthetic images that nearly repeat another one",
    "nearer": "share of synthetic images nearer to train than to as many held-out images; 0.5 without copying",
    "membership": "AUC of telling train from held-out images by their nearest synthetic one; 0.5 without a leak",
    "membership by the critic": "AUC of telling train from held-out images by the critic's score; 0.5 without a leak",
}
CRITIC_SPACE = Space("critic", "the critic's score", pixel_embedding)


def inspect(
    train: Reals,
    held_out: Reals,
    fakes: Tensor,
    spaces: Sequence[Space],
    config: AuditConfig,
    *,
    batch_size: int = 50,
    critic: CriticScores | None = None,
) -> Audit:
    """Compare synthetic images (M, 1, H, W), uint8, with the training images and with images of other patients.

    Exact copies are looked for among all of them, distances are taken of ``config.fakes`` at most.
    Raises NotEnoughDataError for sets that are too small, ValueError for those that differ in size or share a patient.
    """
    _check(train, held_out, fakes)
    chosen = _evenly(len(fakes), config.fakes)
    copied = exact_copies(train.images, fakes)
    measures: list[AuditMeasure] = []
    closest: list[ClosestPair] = []
    with console.progress("audit", len(spaces)) as advance:
        for space in spaces:
            distances = measure(space, train.images, held_out.images, fakes[torch.from_numpy(chosen)], batch_size)
            measures += statistics(distances, train.patients, held_out.patients, config, space)
            closest += _closest(distances, chosen, space.name)
            advance(note=space.name)
    of_critic = "no critic was given" if critic is None else _unusable(critic)
    if critic is not None and not of_critic:
        measures.append(_by_critic(critic, config))
    verdicts = [_no_exact_copies(copied, len(fakes))]
    verdicts += [_verdict(measure) if measure.judged else _unjudged(measure) for measure in measures]
    verdicts += _not_checked(measures, of_critic)
    counts = AuditCounts(
        train=len(train.images),
        held_out=len(held_out.images),
        held_out_patients=len(set(held_out.patients)),
        fakes=len(fakes),
        compared=len(chosen),
        exact_copies=copied,
        exact_repeats=len(fakes) - len(set(_hashable(fakes))),
    )
    notes = tuple(SpaceNote(space.name, space.note) for space in spaces)
    return Audit(tuple(verdicts), tuple(measures), tuple(closest), counts, notes)


def _check(train: Reals, held_out: Reals, fakes: Tensor) -> None:
    for name, count, least in (("train", len(train.images), 3), ("fakes", len(fakes), 2)):
        if count < least:
            raise NotEnoughDataError(f"{name} has {count} images: the audit needs at least {least}")
    for images in (held_out.images, fakes):
        if len(images):
            same_size(train.images, images)
    if both := set(train.patients) & set(held_out.patients):
        raise ValueError(f"held_out: {len(both)} of its patients are in train too; hold out other patients")


def statistics(
    distances: Distances, train_patients: Sequence[str], held_patients: Sequence[str], config: AuditConfig, space: Space
) -> list[AuditMeasure]:
    """Measures of one space: copying, repetition and, with enough held-out patients, nearness and membership."""
    known = distances.fake_train.shape[1]
    level = config.confidence
    copied = copies.rate(copies.copy_ratios(distances.fake_train) < copies.ALPHA, level)
    again = copies.rate(copies.repeated(distances.fake_fake, distances.train_train), level)
    real_again = copies.repeated(distances.train_train, distances.train_train)
    held = distances.held_train
    base = copies.rate(copies.copy_ratios(held) < copies.ALPHA, level) if len(held) else None
    counts = SampleCounts(known, len(held), len(distances.fake_train), level)
    measures = [
        _measure("memorised", space, copied, max(config.max_memorised, base.value if base else 0.0), counts, base),
        _measure("repeated", space, again, config.max_duplicates, counts, copies.rate(real_again, level)),
    ]
    if len(set(held_patients)) >= FEWEST_PATIENTS:
        train_blocks, held_blocks = copies.patient_blocks(train_patients), copies.patient_blocks(held_patients)
        nearer = copies.nearer_estimate(distances.fake_train, distances.fake_held, train_patients, held_patients, level)
        attack = membership.auc_estimate(
            -distances.fake_train.min(axis=0), -distances.fake_held.min(axis=0), train_blocks, held_blocks, level
        )
        measures += [
            _measure("nearer", space, nearer, config.max_nearer, counts),
            _measure("membership", space, attack, config.max_membership, counts),
        ]
    return measures


@dataclass(frozen=True)
class SampleCounts:
    """Images that took part in a measure, and the confidence of its interval."""

    train: int
    held_out: int
    fake: int
    confidence: float


def _measure(
    statistic: str,
    space: Space,
    estimate: Estimate,
    limit: float,
    counts: SampleCounts,
    reference: Estimate | None = None,
) -> AuditMeasure:
    assert estimate.low is not None and estimate.high is not None  # noqa: PT018  (rates and AUCs have intervals)
    return AuditMeasure(
        statistic=statistic,
        space=space.name,
        meaning=MEANINGS[statistic],
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        reference=reference.value if reference else None,
        limit=limit,
        judged=space.judges,
        n_train=counts.train,
        n_held_out=counts.held_out,
        n_fake=counts.fake,
        confidence=counts.confidence,
    )


def _by_critic(scores: CriticScores, config: AuditConfig) -> AuditMeasure:
    blocks = [copies.patient_blocks(patients) for patients in (scores.member_patients, scores.other_patients)]
    estimate = membership.auc_estimate(scores.members, scores.others, blocks[0], blocks[1], config.confidence)
    counts = SampleCounts(len(scores.members), len(scores.others), 0, config.confidence)
    return _measure("membership by the critic", CRITIC_SPACE, estimate, config.max_critic_membership, counts)


def _gate(measure: AuditMeasure) -> str:
    return f"{measure.statistic} ({measure.space})"


def _verdict(measure: AuditMeasure) -> Verdict:
    """Refused when the whole interval lies above the limit."""
    interval = f"{measure.value:.3g} ({measure.low:.3g} to {measure.high:.3g})"
    base = f", {measure.reference:.3g} among real images" if measure.reference is not None else ""
    why = f"{measure.meaning}: {interval}{base}; at most {measure.limit:.3g}"
    return gates.verdict(_gate(measure), measure.low <= measure.limit, why)


def _unjudged(measure: AuditMeasure) -> Verdict:
    """What a random network sees is shown, but it refuses nothing: it takes all smooth images for the same."""
    why = f"{measure.value:.3g} in a random network's features, which do not judge"
    return Verdict(_gate(measure), Outcome.NOT_CHECKED, why)


def _unusable(critic: CriticScores) -> str:
    """Why the critic's scores say nothing of membership; empty where they do."""
    if len(set(critic.other_patients)) < FEWEST_PATIENTS:
        return FEW
    scores = np.concatenate([critic.members, critic.others])
    return "the critic's scores are all the same" if scores.min() == scores.max() else ""


def _not_checked(measures: Sequence[AuditMeasure], of_critic: str) -> list[Verdict]:
    measured = {measure.statistic for measure in measures}
    reasons = {"nearer": FEW, "membership": FEW, "membership by the critic": of_critic}
    return [Verdict(name, Outcome.NOT_CHECKED, why) for name, why in reasons.items() if name not in measured]


def _no_exact_copies(copied: int, count: int) -> Verdict:
    why = f"synthetic images that are a training image pixel by pixel, mirrored or not: {copied} of {count}; at most 0"
    return gates.verdict("exact copies", copied == 0, why)


def exact_copies(train: Tensor, fakes: Tensor) -> int:
    """Synthetic images whose pixels are those of a training image, mirrored or not."""
    known = set(_hashable(train)) | set(_hashable(train.flip(-1)))
    return sum(image in known for image in _hashable(fakes))


def _hashable(images: Tensor) -> Iterator[bytes]:
    return (hashlib.sha256(image.numpy().tobytes()).digest() for image in images)


def _evenly(count: int, most: int) -> Ints:
    """At most ``most`` of the indices below ``count``, evenly taken."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _closest(distances: Distances, chosen: Ints, space: str) -> list[ClosestPair]:
    """Pairs of a synthetic image, one of the ``chosen``, and its nearest training image, most like copies first."""
    ratios = copies.copy_ratios(distances.fake_train)
    nearest = distances.fake_train.argmin(axis=1)
    return [
        ClosestPair(
            space=space,
            fake=int(chosen[index]),
            train=int(nearest[index]),
            distance=float(distances.fake_train[index, nearest[index]]),
            ratio=float(ratios[index]),
        )
        for index in np.argsort(ratios, kind="stable")[:CLOSEST]
    ]


def _label_of_synthetic(dataset: Dataset) -> int:
    """Label of the images that a generator made, malignant where there are none."""
    return int(dataset.synthetic.labels[0]) if len(dataset.synthetic) else 1


def audit_dataset(
    dataset: Path, config: Config, out: Path, *, fakes: Tensor | None = None, label: int | None = None,
    critic: Path | None = None,
) -> Audit:  # fmt: skip
    """Audit the synthetic images of a filled data set, or ``fakes`` against class ``label`` of any data set.

    Train are the real train images of the class, held out the test images of patients who are not in train; ``critic``
    is the file of a critic that was trained on the former. Writes ``audit.json``, ``audit.html`` and ``closest.png``,
    or with ``report.real_images`` ``pairs.png``, below ``out`` and returns the first one. Raises ValueError for a data
    set without synthetic images where no ``fakes`` are given, and as ``inspect`` and ``critic_scores`` do.
    """
    whole = Dataset.read(dataset)
    label = _label_of_synthetic(whole) if label is None else label
    real = whole.real.of(label)
    held_out = real.test.without_patients_of(whole.train)
    if fakes is None and not len(whole.synthetic):
        raise ValueError(
            f"dataset={str(dataset)!r}: it holds no synthetic images; fill it with synthesise or give some"
        )
    fakes = whole.synthetic.images() if fakes is None else fakes
    reals = [Reals(side.images(allow_empty=True), side.patients) for side in (real.train, held_out)]
    judged = critic_scores(critic, *reals, real.digest, config) if critic else None
    result = inspect(
        *reals, fakes, load_spaces(config.evaluate), config.audit,
        batch_size=config.evaluate.batch_size, critic=judged,
    )  # fmt: skip
    names = real.train.pseudonyms
    result = dataclasses.replace(
        result,
        label=manifest.CLASSES[label],
        counts=dataclasses.replace(result.counts, test_images_of_train_patients=len(real.test) - len(held_out)),
        closest=tuple(dataclasses.replace(pair, train_image=names[pair.train]) for pair in result.closest),
    )
    pictures = page.pictures(result.closest, fakes, reals[0].images if config.report.real_images else None)
    # all is made before anything is written, so that a failure leaves no half result
    files = {f"{name}.png": picture for name, picture in pictures.items()}
    files |= {page.PAGE: page.render(result, pictures), FILE: results.document(result)}
    for file, written in files.items():
        storage.write_bytes(str(out / file), written)
    for name in {page.PAIRS, page.CLOSEST} - pictures.keys():  # of an earlier audit
        storage.remove(str(out / f"{name}.png"))
    return result
