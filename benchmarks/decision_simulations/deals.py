"""Audits of real images: patients dealt to train, held-out and unrelated, and the search for copies among them.

Correlations of all images are computed once; every deal takes those of its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from decision_simulations import earlier_rules
from mammogan import console
from mammogan.audit import alignment, copies, judgement, moved_copies
from mammogan.audit.answers import MEANINGS, MOVED, by_distance
from mammogan.audit.distances import Space, measure, pixel_embedding
from mammogan.audit.judgement import Sample, Subject
from mammogan.audit.moved_copies import Matches
from mammogan.config import AuditCheck, AuditConfig, SpaceKind
from mammogan.results import Outcome, Verdict, combined
from mammogan.statistics import Floats, Ints

CPU = torch.device("cpu")
SETTINGS = AuditConfig()
PIXEL = Space(SpaceKind.PIXEL, "pixel", "pixels", pixel_embedding)
SUBJECT = Subject(AuditCheck.MOVED_COPIES, "moved copies", MOVED, MEANINGS["moved copies"])
BATCH_SIZE = 50


@dataclass(frozen=True)
class Correlated:
    """Images with their coarse correlations with all real ones, and the fine ones that were asked for so far."""

    pictures: alignment.Pictures
    reals: alignment.Pictures
    coarse: Floats
    known: dict[tuple[int, int], float]

    def matches(self, rows: Ints, columns: Ints, own: np.ndarray | None = None) -> Matches:
        """Matches of the images ``rows`` among the real ones ``columns``, by their place there."""

        def fine(query: Ints, reference: Ints) -> Floats:
            pairs = list(zip(rows[query].tolist(), columns[reference].tolist(), strict=True))
            new = [pair for pair in dict.fromkeys(pairs) if pair not in self.known]
            if new:
                left, right = np.array(new).T
                values = moved_copies.fine_correlations(self.pictures, self.reals, left, right)
                self.known.update(zip(new, values.tolist(), strict=True))
            return np.array([self.known[pair] for pair in pairs])

        coarse = self.coarse[np.ix_(rows, columns)]
        return moved_copies.best_matches(coarse if own is None else np.where(own, np.nan, coarse), fine)


def correlated(images: Tensor, reals: alignment.Pictures, name: str) -> Correlated:
    """Images (N, 1, H, W), uint8, beside the real ones."""
    pictures = alignment.prepare(images, CPU)
    with console.progress(name, len(images)) as advance:
        return Correlated(pictures, reals, moved_copies.coarse_correlations(pictures, reals, advance), {})


def joined(*parts: Matches) -> Matches:
    """Matches of several sets, one after the other."""
    columns = ([getattr(part, field.name) for part in parts] for field in dataclasses.fields(Matches))
    return Matches(*(np.concatenate(column) for column in columns))


def some(matches: Matches, chosen: Ints) -> Matches:
    """Matches of some of the images."""
    return Matches(*(getattr(matches, field.name)[chosen] for field in dataclasses.fields(Matches)))


@dataclass(frozen=True)
class Fakes:
    """Images handed over as synthetic, and what the search finds them like."""

    images: Tensor
    """(N, 1, H, W), uint8."""
    matches: Matches
    """With the training images of a deal."""

    def __add__(self, other: Fakes) -> Fakes:
        """Both, one after the other."""
        return Fakes(torch.cat([self.images, other.images]), joined(self.matches, other.matches))


@dataclass(frozen=True)
class Audited:
    """What the whole audit of some fakes comes to, with pixels and the search."""

    outcome: Outcome
    copied: np.ndarray
    """Which of the fakes (N,) the search takes for copies."""
    earlier: Outcome
    """By the rules that were before, without the search."""


class Deal:
    """Patients dealt anew: half to train, an eighth held out, the rest unrelated."""

    def __init__(self, reals: Correlated, images: Tensor, patients: np.ndarray, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        names = self.rng.permutation(np.unique(patients))
        parts = np.split(names, [len(names) // 2, len(names) // 2 + len(names) // 8])
        self.train, self.held, others = (np.flatnonzero(np.isin(patients, part)) for part in parts)
        self.images, self.patients = images, patients
        known = np.concatenate([self.train, self.held])
        own = patients[known][:, None] == patients[self.train][None]
        self.by_chance = reals.matches(known, self.train, own)
        self.unrelated = Fakes(self.of(others), reals.matches(others, self.train))

    def of(self, rows: Ints) -> Tensor:
        """Real images (N, 1, H, W)."""
        return self.images[torch.from_numpy(rows)]

    def some_unrelated(self, count: int) -> Fakes:
        """As many images of unrelated patients, or all of them."""
        chosen = self.rng.choice(len(self.unrelated.images), min(count, len(self.unrelated.images)), replace=False)
        return Fakes(self.unrelated.images[torch.from_numpy(chosen)], some(self.unrelated.matches, chosen))

    def copied(self, matches: Matches) -> np.ndarray:
        """Which of the images (N,) whose matches are given the search takes for copies."""
        return moved_copies.decide(self.by_chance, matches, SETTINGS.confidence).copied

    def audit(self, fakes: Fakes) -> Audited:
        """The checks by the search and by pixels."""
        copied = self.copied(fakes.matches)
        sides = [self.patients[side].tolist() for side in (self.train, self.held)]
        counts = len(self.train), len(self.held), len(fakes.images), len(set(sides[0])), len(set(sides[1]))
        sample = Sample(*counts, SETTINGS.confidence)
        moved = judgement.share(SUBJECT, copies.rate(copied, SETTINGS.confidence), SETTINGS.max_memorised, sample)
        distances = measure(PIXEL, self.of(self.train), self.of(self.held), fakes.images, BATCH_SIZE)
        pixels = by_distance(distances, *sides, SETTINGS, PIXEL)
        before = (
            Verdict("", earlier_rules.check_outcome(item), "")
            for item in pixels.measures
            if item.statistic in earlier_rules.CHECKS
        )
        outcome = combined([judgement.verdict(SUBJECT, moved), *pixels.verdicts])
        return Audited(outcome, copied, earlier_rules.audit_outcome(before))
