"""The audit: three sets of images in, numbers with intervals and the gates' verdicts out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mammogan import console, storage
from mammogan.audit import copies, membership, page
from mammogan.audit.critic_scores import CriticScores, Reals, critic_scores
from mammogan.audit.distances import Distances, Space, load_spaces, measure
from mammogan.config import AuditConfig, Config
from mammogan.data import manifest
from mammogan.data.image_folder import same_size
from mammogan.data.ingest import read_summary
from mammogan.errors import NotEnoughDataError
from mammogan.selection.gates import NOT_CHECKED, Verdict
from mammogan.statistics import Estimate, Ints
from mammogan.synthesis.rows import read_rows

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
Record = dict[str, Any]


def inspect(
    train: Reals,
    held_out: Reals,
    fakes: Tensor,
    spaces: Sequence[Space],
    config: AuditConfig,
    *,
    batch_size: int = 50,
    critic: CriticScores | None = None,
) -> dict[str, Any]:
    """Compare synthetic images (M, 1, H, W), uint8, with the training images and with images of other patients.

    Exact copies are looked for among all of them, distances are taken of ``config.fakes`` at most.
    Returns ``passed``, ``verdicts`` as the gates give them, ``records`` with a number each, the ``closest`` pairs, and
    ``counts``. Raises NotEnoughDataError for sets that are too small, ValueError for those that differ in size or share
    a patient.
    """
    _check(train, held_out, fakes)
    chosen = _evenly(len(fakes), config.fakes)
    copied = exact_copies(train.images, fakes)
    records, closest = [], []
    with console.progress("audit", len(spaces)) as advance:
        for space in spaces:
            distances = measure(space, train.images, held_out.images, fakes[torch.from_numpy(chosen)], batch_size)
            records += statistics(distances, train.patients, held_out.patients, config, space.name)
            closest += _closest(distances, chosen, space.name)
            advance(note=space.name)
    of_critic = "no critic was given" if critic is None else _unusable(critic)
    if critic is not None and not of_critic:
        records.append(_by_critic(critic, config))
    judges = {space.name for space in spaces if space.judges} | {"critic"}
    verdicts = [_no_exact_copies(copied, len(fakes))]
    verdicts += [_verdict(record) if record["space"] in judges else _unjudged(record) for record in records]
    verdicts += _not_checked(records, of_critic)
    return {
        "passed": all(verdict.passed for verdict in verdicts),
        "verdicts": [verdict.to_dict() for verdict in verdicts],
        "records": records,
        "closest": closest,
        "counts": {
            "train": len(train.images),
            "held_out": len(held_out.images),
            "held_out_patients": len(set(held_out.patients)),
            "fakes": len(fakes),
            "compared": len(chosen),
            "exact_copies": copied,
            "exact_repeats": len(fakes) - len(set(_hashable(fakes))),
        },
        "spaces": [{"name": space.name, "note": space.note} for space in spaces],
    }


def _check(train: Reals, held_out: Reals, fakes: Tensor) -> None:
    for name, count, least in (("train", len(train.images), 3), ("fakes", len(fakes), 2)):
        if count < least:
            raise NotEnoughDataError(f"{name} has {count} images: the audit needs at least {least}")
    for images in (held_out.images, fakes):
        if len(images):
            same_size(train.images, images)
    if both := set(train.patients) & set(held_out.patients):
        raise ValueError(f"held_out: patient {min(both)!r} is in train too; hold out other patients")


def statistics(
    distances: Distances, train_patients: Sequence[str], held_patients: Sequence[str], config: AuditConfig, space: str
) -> list[Record]:
    """Records of one space: copying, repetition and, with enough held-out patients, nearness and membership."""
    known = distances.fake_train.shape[1]
    level = config.confidence
    copied = copies.rate(copies.copy_ratios(distances.fake_train) < copies.ALPHA, level)
    again = copies.rate(copies.repeated(distances.fake_fake, distances.train_train), level)
    real_again = copies.repeated(distances.train_train, distances.train_train)
    held = distances.held_train
    base = copies.rate(copies.copy_ratios(held) < copies.ALPHA, level) if len(held) else None
    records = [
        _record("memorised", space, copied, max(config.max_memorised, base.value if base else 0.0), base),
        _record("repeated", space, again, config.max_duplicates, copies.rate(real_again, level)),
    ]
    if len(set(held_patients)) >= FEWEST_PATIENTS:
        train_blocks, held_blocks = copies.patient_blocks(train_patients), copies.patient_blocks(held_patients)
        nearer = copies.nearer_estimate(distances.fake_train, distances.fake_held, train_patients, held_patients, level)
        attack = membership.auc_estimate(
            -distances.fake_train.min(axis=0), -distances.fake_held.min(axis=0), train_blocks, held_blocks, level
        )
        records += [
            _record("nearer", space, nearer, config.max_nearer),
            _record("membership", space, attack, config.max_membership),
        ]
    counts = {"n_train": known, "n_held_out": len(held), "n_fake": len(distances.fake_train)}
    return [{**record, **counts, "confidence": level} for record in records]


def _record(statistic: str, space: str, estimate: Estimate, limit: float, reference: Estimate | None = None) -> Record:
    return {
        "key": f"{statistic.replace(' ', '_')}/{space}",
        "statistic": statistic,
        "space": space,
        "meaning": MEANINGS[statistic],
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "reference": reference.value if reference else None,
        "limit": limit,
    }


def _by_critic(scores: CriticScores, config: AuditConfig) -> Record:
    blocks = [copies.patient_blocks(patients) for patients in (scores.member_patients, scores.other_patients)]
    estimate = membership.auc_estimate(scores.members, scores.others, blocks[0], blocks[1], config.confidence)
    record = _record("membership by the critic", "critic", estimate, config.max_critic_membership)
    counts = {"n_train": len(scores.members), "n_held_out": len(scores.others), "n_fake": 0}
    return {**record, **counts, "confidence": config.confidence}


def _verdict(record: Record) -> Verdict:
    """Refused when the whole interval lies above the limit."""
    interval = f"{record['value']:.3g} ({record['low']:.3g} to {record['high']:.3g})"
    base = f", {record['reference']:.3g} among real images" if record["reference"] is not None else ""
    why = f"{record['meaning']}: {interval}{base}; at most {record['limit']:.3g}"
    return Verdict(f"{record['statistic']} ({record['space']})", record["low"] <= record["limit"], why)


def _unjudged(record: Record) -> Verdict:
    """What a random network sees is told, but it refuses nothing: it takes all smooth images for the same."""
    why = f"{NOT_CHECKED}: {record['value']:.3g} in a random network's features, which do not judge"
    return Verdict(f"{record['statistic']} ({record['space']})", True, why)


def _unusable(critic: CriticScores) -> str:
    """Why the critic's scores say nothing of membership; empty where they do."""
    if len(set(critic.other_patients)) < FEWEST_PATIENTS:
        return FEW
    scores = np.concatenate([critic.members, critic.others])
    return "the critic's scores are all the same" if scores.min() == scores.max() else ""


def _not_checked(records: Sequence[Record], of_critic: str) -> list[Verdict]:
    found = {record["statistic"] for record in records}
    reasons = {"nearer": FEW, "membership": FEW, "membership by the critic": of_critic}
    return [Verdict(name, True, f"{NOT_CHECKED}: {why}") for name, why in reasons.items() if name not in found]


def _no_exact_copies(copied: int, count: int) -> Verdict:
    why = f"synthetic images that are a training image pixel by pixel, mirrored or not: {copied} of {count}; at most 0"
    return Verdict("exact copies", copied == 0, why)


def exact_copies(train: Tensor, fakes: Tensor) -> int:
    """Synthetic images whose pixels are those of a training image, mirrored or not."""
    known = set(_hashable(train)) | set(_hashable(train.flip(-1)))
    return sum(image in known for image in _hashable(fakes))


def _hashable(images: Tensor) -> Iterator[bytes]:
    return (hashlib.sha256(image.numpy().tobytes()).digest() for image in images)


def _evenly(count: int, most: int) -> Ints:
    """At most ``most`` of the indices below ``count``, evenly taken."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _closest(distances: Distances, chosen: Ints, space: str) -> list[dict[str, Any]]:
    """Pairs of a synthetic image, one of the ``chosen``, and its nearest training image, most like copies first."""
    ratios = copies.copy_ratios(distances.fake_train)
    nearest = distances.fake_train.argmin(axis=1)
    return [
        {
            "space": space,
            "fake": int(chosen[index]),
            "train": int(nearest[index]),
            "distance": float(distances.fake_train[index, nearest[index]]),
            "ratio": float(ratios[index]),
        }
        for index in np.argsort(ratios, kind="stable")[:CLOSEST]
    ]


def audit_dataset(
    dataset: Path, config: Config, out: Path, *, fakes: Tensor | None = None, label: int | None = None,
    critic: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Audit the synthetic images of a filled data set, or ``fakes`` against class ``label`` of any data set.

    Train are the real train images of the class, held out the test images of patients who are not in train; ``critic``
    is the file of a critic that was trained on the former. Writes ``audit.json``, ``pairs.png`` and ``audit.html``
    below ``out`` and returns the first one's content. Raises ValueError for a data set without synthetic images where
    no ``fakes`` are given, and as ``inspect`` and ``critic_scores`` do.
    """
    frame = manifest.read(dataset)
    name = read_summary(dataset).get("synthetic", {}).get("class", "malignant")
    label = manifest.CLASSES.index(name) if label is None else label
    real = frame[(frame["label"] == label) & (frame["source"] != manifest.SYNTHETIC)]
    train, test = (real[real["split"] == side] for side in ("train", "test"))
    held_out = test[~test["patient_id"].isin(frame.loc[frame["split"] == "train", "patient_id"])]
    made = frame[frame["source"] == manifest.SYNTHETIC]
    if fakes is None and made.empty:
        raise ValueError(
            f"dataset={str(dataset)!r}: it holds no synthetic images; fill it with synthesise or give some"
        )
    fakes = read_rows(dataset, made) if fakes is None else fakes
    reals = [Reals(read_rows(dataset, side), side["patient_id"].tolist()) for side in (train, held_out)]
    judged = critic_scores(critic, *reals, manifest.data_digest(real), config) if critic else None
    result = inspect(
        *reals, fakes, load_spaces(config.evaluate), config.audit,
        batch_size=config.evaluate.batch_size, critic=judged,
    )  # fmt: skip
    result["class"] = manifest.CLASSES[label]
    result["counts"]["test_images_of_train_patients"] = len(test) - len(held_out)
    for pair in result["closest"]:
        pair["train_image"] = str(train["image_id"].iloc[pair["train"]])
    picture = page.pairs_figure(result["closest"], fakes, reals[0].images)
    # all is made before anything is written, so that a failure leaves no half result
    content = (json.dumps(result, indent=1, allow_nan=False) + "\n").encode()
    files = {page.PAIRS: picture, page.PAGE: page.render(result, picture), FILE: content}
    for file, written in files.items():
        storage.write_bytes(str(out / file), written)
    return result
