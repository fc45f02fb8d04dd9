"""The audit's ways of looking: moved copies, distances in a space, the critic; each answers its own checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mammogan import console
from mammogan.audit import copies, judgement, membership, moved_copies
from mammogan.audit.critic_scores import CriticScores, Reals
from mammogan.audit.distances import Distances, Space
from mammogan.audit.judgement import Sample, Subject
from mammogan.config import AuditCheck, AuditConfig
from mammogan.results import AuditMeasure, Verdict
from mammogan.statistics import Floats, blocks_of

FEWEST_PATIENTS = 5
"""Held-out patients below which nothing is said of membership."""
FEW = f"fewer than {FEWEST_PATIENTS} held-out patients"
MOVED = "moved"
"""What stands where a space's name does, of the search for moved copies."""
MEANINGS = {
    "memorised": "share of synthetic images that copy a training image",
    "moved copies": "share of synthetic images that copy a training image, shifted, mirrored, turned or scaled",
    "repeated": "share of synthetic images that nearly repeat another one",
    "nearer": "share of synthetic images nearer to train than to as many held-out images; 0.5 without copying",
    "membership": "AUC of telling train from held-out patients by their nearest synthetic image; 0.5 without a leak",
    "attack": "share of train patients found by their nearest synthetic image at 1% false positives",
    "membership by the critic": "AUC of telling train from held-out patients by the critic's score; 0.5 without a leak",
    "attack by the critic": "share of train patients found by the critic's score at 1% false positives",
}
BY_CRITIC = (AuditCheck.MEMBERSHIP_CRITIC, AuditCheck.ATTACK_CRITIC)
PER_SPACE = ("memorised", "repeated", "nearer", "membership", "attack")


@dataclass(frozen=True)
class Likeness:
    """A synthetic image, one of those compared, and the training image that it is nearest to."""

    space: str
    fake: int
    train: int
    distance: float
    ratio: float
    judged: bool = True
    """Whether the space decides."""

    @property
    def copied(self) -> bool:
        """Whether it counts as a copy."""
        return self.judged and self.ratio < copies.ALPHA


@dataclass(frozen=True)
class Answers:
    """What one way of looking came to."""

    verdicts: tuple[Verdict, ...]
    measures: tuple[AuditMeasure, ...] = ()
    pairs: tuple[Likeness, ...] = ()
    """Of every image that was compared."""


def _answers(judged: Iterable[tuple[Subject, AuditMeasure]], pairs: Iterable[Likeness] = ()) -> Answers:
    subjects = list(judged)
    verdicts = tuple(judgement.verdict(subject, measure) for subject, measure in subjects)
    return Answers(verdicts, tuple(measure for _, measure in subjects), tuple(pairs))


def by_moves(
    train: Reals, held_out: Reals, fakes: Tensor, sample: Sample, config: AuditConfig, device: torch.device | None
) -> Answers:
    """Copies that were moved; not made without a device, or with too few real images."""
    subject = Subject(AuditCheck.MOVED_COPIES, "moved copies", MOVED, MEANINGS["moved copies"])
    why = "no device was given" if device is None else moved_copies.too_few(train.patients, held_out.patients)
    if device is None or why:
        return Answers((judgement.lacking_data(subject, why),))
    patients = train.patients, held_out.patients
    steps = moved_copies.steps(sample.train, sample.held_out, sample.fake)
    with console.progress("moved copies", steps, unit="images") as advance:
        result = moved_copies.search(
            train.images, held_out.images, fakes, *patients, config.confidence, device, advance
        )  # fmt: skip
    estimates = [copies.rate(flags, config.confidence) for flags in (result.copied, result.unrelated_copied)]
    measured = judgement.share(subject, estimates[0], config.max_memorised, sample, estimates[1])
    matches = result.matches
    pairs = [
        Likeness(MOVED, fake, int(matches.train[fake]), 1 - float(matches.correlation[fake]), float(ratio))
        for fake, ratio in enumerate(copies.ALPHA * result.threshold / np.maximum(result.score, 1e-3))
    ]
    return _answers([(subject, measured)], pairs)


def by_distance(
    distances: Distances, train_patients: Sequence[str], held_patients: Sequence[str], config: AuditConfig, space: Space
) -> Answers:
    """Measures of one space: copying, repetition and, with enough held-out patients, nearness and membership."""
    level = config.confidence
    counts = distances.fake_train.shape[1], len(distances.held_train), len(distances.fake_train)
    sample = Sample(*counts, len(set(train_patients)), len(set(held_patients)), level)
    ratios = copies.copy_ratios(distances.fake_train)
    nearest = distances.fake_train.argmin(axis=1)
    pairs = [
        Likeness(
            space.name, fake, int(train), float(distances.fake_train[fake, train]), float(ratios[fake]), space.judges
        )
        for fake, train in enumerate(nearest)
    ]
    again = copies.rate(copies.repeated(distances.fake_fake, distances.train_train), level)
    real_again = copies.rate(copies.repeated(distances.train_train, distances.train_train), level)
    held = distances.held_train
    base = copies.rate(copies.copy_ratios(held) < copies.ALPHA, level) if len(held) else None
    memorised, repeated, *others = (_subject(name, space) for name in PER_SPACE)
    # what real images do for certain: one of five held-out ones by chance would allow a fifth of the synthetic ones
    limit = max(config.max_memorised, judgement.ends(base)[0] if base else 0.0)
    repeats = max(config.max_duplicates, judgement.ends(real_again)[0])
    answers = _answers([
        (memorised, judgement.share(memorised, copies.rate(ratios < copies.ALPHA, level), limit, sample, base)),
        (repeated, judgement.share(repeated, again, repeats, sample, real_again)),
    ], pairs)  # fmt: skip
    if sample.held_out_patients < FEWEST_PATIENTS:
        verdicts = (judgement.lacking_data(subject, FEW) for subject in others)
        return dataclasses.replace(answers, verdicts=(*answers.verdicts, *verdicts))
    nearer, membership_, attack = others
    near = copies.nearer_estimate(distances.fake_train, distances.fake_held, train_patients, held_patients, level)
    scores = _by_patient(
        -distances.fake_train.min(axis=0), -distances.fake_held.min(axis=0), train_patients, held_patients
    )
    attacks = _attacks(scores, membership_, attack, (config.max_membership, config.max_attack), sample)
    more = _answers([(nearer, judgement.nearness(nearer, near, config.max_nearer, sample)), *attacks])
    return Answers((*answers.verdicts, *more.verdicts), (*answers.measures, *more.measures), answers.pairs)


def _subject(statistic: str, space: Space) -> Subject:
    check = AuditCheck(f"{statistic}/{space.kind}")
    return Subject(check, statistic, space.name, MEANINGS[statistic], space.judges, per_space=True)


@dataclass(frozen=True)
class PatientScores:
    """An attacker's score of each patient."""

    members: Floats
    others: Floats


def _by_patient(
    members: Floats, others: Floats, member_patients: Sequence[str], other_patients: Sequence[str]
) -> PatientScores:
    return PatientScores(membership.by_patient(members, member_patients), membership.by_patient(others, other_patients))


def _attacks(
    scores: PatientScores, by_auc: Subject, by_share: Subject, limits: tuple[float, float], sample: Sample
) -> list[tuple[Subject, AuditMeasure]]:
    """The attack's AUC and its true positives at 1% false ones, by patient."""
    level = sample.confidence
    blocks = [blocks_of(len(side), copies.BLOCKS) for side in (scores.members, scores.others)]
    auc = membership.auc_estimate(scores.members, scores.others, blocks[0], blocks[1], level)
    sure = membership.true_positives(scores.members, scores.others, level)
    return [
        (by_auc, judgement.auc(by_auc, auc, limits[0], sample)),
        (by_share, judgement.attack(by_share, sure, limits[1], sample)),
    ]


def by_critic(critic: CriticScores | None, sample: Sample, config: AuditConfig) -> Answers:
    """What an attacker learns who has the critic; not made without one."""
    statistics = "membership by the critic", "attack by the critic"
    by_auc, by_share = (
        Subject(check, name, "critic", MEANINGS[name]) for check, name in zip(BY_CRITIC, statistics, strict=True)
    )
    why = "no critic was given" if critic is None else _unusable(critic)
    if critic is None or why:
        return Answers(tuple(judgement.lacking_data(subject, why) for subject in (by_auc, by_share)))
    patients = len(set(critic.member_patients)), len(set(critic.other_patients))
    own = Sample(len(critic.members), len(critic.others), 0, *patients, sample.confidence)
    scores = _by_patient(critic.members, critic.others, critic.member_patients, critic.other_patients)
    return _answers(_attacks(scores, by_auc, by_share, (config.max_critic_membership, config.max_critic_attack), own))


def _unusable(critic: CriticScores) -> str:
    """Why the critic's scores say nothing of membership; empty where they do."""
    if len(set(critic.other_patients)) < FEWEST_PATIENTS:
        return FEW
    scores = np.concatenate([critic.members, critic.others])
    return "the critic's scores are all the same" if scores.min() == scores.max() else ""
