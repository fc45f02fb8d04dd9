"""Whether copies of training images are found, and unrelated patients left alone: audits of real images.

Of each kind of move as many copies are made as there are audits. A copy counts as found where it is taken for a copy
of its own original, among the images of unrelated patients; each is looked at in the first audit that trains on its
original. A false alarm is an audit of unrelated patients' images alone that any check refuses. A quarter of moved
copies among unrelated images must never pass, and replays of training images must be refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from decision_simulations.claims import Claim, Decision, mean_of
from decision_simulations.deals import CPU, PIXEL, SETTINGS, Audited, Correlated, Deal, Fakes, correlated, joined, some
from decision_simulations.moves import KINDS, Move
from decision_simulations.setting import Setting
from mammogan import console
from mammogan.audit import alignment, copies
from mammogan.audit.distances import between
from mammogan.data.dataset import Dataset
from mammogan.metrics.kid import kernel_distance, kernel_estimate
from mammogan.results import Direction, Measurement, Outcome, Quantity
from mammogan.selection import gates
from mammogan.statistics import Floats, Ints, numbered

MALIGNANT = 1
FEWER = 5
"""So many times fewer audits than repetitions of other simulations: of 1000, 200."""
COPIES, UNRELATED = 60, 180
"""Of the audits of which a quarter is copied."""
REPLAYED = ("noise 10", "noise 30", "shifted by 12.5%")
TENTH = 10
BATCH_SIZE = 50


@dataclass
class Kind:
    """Copies of one kind of move, and what came of them."""

    images: Tensor
    """(N, 1, H, W), uint8."""
    sources: Ints
    """(N,): the real image that each copies."""
    correlated: Correlated
    pixels: Floats
    """(N, R): distances to the real images, mirrored or not."""
    due: np.ndarray
    """Which no audit has looked at yet."""
    found: list[bool] = field(default_factory=list)
    """Of those that were looked at."""
    found_by_pixels: list[bool] = field(default_factory=list)

    def fakes(self, deal: Deal, count: int) -> Fakes:
        """As many copies of training images, or as there are."""
        rows = np.flatnonzero(np.isin(self.sources, deal.train))
        rows = deal.rng.choice(rows, min(len(rows), count), replace=False)
        return Fakes(self.images[torch.from_numpy(rows)], self.correlated.matches(rows, deal.train))

    def look_in(self, deal: Deal) -> None:
        """Look for the copies that are due and of training images."""
        rows = np.flatnonzero(self.due & np.isin(self.sources, deal.train))
        if not len(rows):
            return
        matches = self.correlated.matches(rows, deal.train)
        copied = deal.copied(joined(matches, deal.unrelated.matches))[: len(rows)]
        self.found += (copied & (deal.train[matches.train] == self.sources[rows])).tolist()
        pixels = self.pixels[np.ix_(rows, deal.train)]
        nearest = deal.train[pixels.argmin(axis=1)] == self.sources[rows]
        self.found_by_pixels += ((copies.copy_ratios(pixels) < copies.ALPHA) & nearest).tolist()
        self.due[rows] = False


@dataclass
class Record:
    """What the audits of one sort of images came to."""

    audits: list[Audited] = field(default_factory=list)
    by_gate: list[bool] = field(default_factory=list)
    """Whether the gate of KID refused, which the snapshot's own numbers are shown to."""

    def claim(
        self, decision: Decision, case: str, outcome: Outcome, least: float = -math.inf, most: float = math.inf
    ) -> Claim:
        """How often they come to ``outcome``, and came to it before."""
        new = [audit.outcome is outcome for audit in self.audits]
        old = [audit.earlier is outcome for audit in self.audits]
        return Claim(decision, case, mean_of(new), mean_of(old), least, most)


def simulate(setting: Setting) -> Iterator[Claim]:
    """Audits of the malignant images of a data set, in both splits. Raises ValueError without one."""
    if setting.dataset is None:
        raise ValueError("dataset=None: give a data set of real images that ingest wrote")
    reals = Dataset.read(setting.dataset).real.of(MALIGNANT)
    images, patients = reals.images(), np.array(reals.patients)
    audits = setting.repetitions // FEWER
    among = correlated(images, alignment.prepare(images, CPU), "real images")
    kinds = {name: _kind(name, move, images, among, audits, setting.rng(60)) for name, move in KINDS.items()}
    records: dict[str, Record] = {}
    with console.progress("audits", audits) as advance:
        for number in range(audits):
            deal = Deal(among, images, patients, number)
            for kind in kinds.values():
                kind.look_in(deal)
            for name, fakes in _handed_over(deal, kinds).items():
                record = records.setdefault(name, Record())
                record.audits.append(deal.audit(fakes))
                if name in REPLAYS:
                    record.by_gate.append(_gate_refuses(deal, fakes.images))
            advance()
    yield from _claims(kinds, records)


def _kind(name: str, move: Move, images: Tensor, among: Correlated, count: int, rng: np.random.Generator) -> Kind:
    sources = rng.permutation(len(images))[:count]
    moved = torch.stack([move(images[int(source)].float(), rng) for source in sources])
    moved = moved.clamp(0, 255).round().to(torch.uint8)
    plain, mirrored = (between(PIXEL.embed, side, images, BATCH_SIZE) for side in (moved, moved.flip(-1)))
    due = np.ones(len(sources), dtype=bool)
    return Kind(moved, sources, correlated(moved, among.pictures, name), np.minimum(plain, mirrored), due)


NOTHING, QUARTER = "unrelated", "quarter"
REPLAYS = (*REPLAYED, "one image of ten, noise 10")


def _handed_over(deal: Deal, kinds: dict[str, Kind]) -> dict[str, Fakes]:
    """What each audit is given, by its sort."""
    tenth = kinds[REPLAYED[0]].fakes(deal, max(1, COPIES // TENTH))
    return {
        NOTHING: deal.unrelated,
        QUARTER: _quarter(deal, list(kinds.values())),
        **{name: kinds[name].fakes(deal, COPIES) for name in REPLAYED},
        REPLAYS[-1]: tenth + deal.some_unrelated(COPIES - len(tenth.images)),
    }


def _quarter(deal: Deal, kinds: Sequence[Kind]) -> Fakes:
    """60 moved copies of any kind among 180 images of unrelated patients."""
    first, *rest = (kind.fakes(deal, 2 * COPIES // len(kinds)) for kind in kinds)
    moved = sum(rest, first)
    picked = deal.rng.permutation(len(moved.images))[:COPIES]
    moved = Fakes(moved.images[torch.from_numpy(picked)], some(moved.matches, picked))
    return moved + deal.some_unrelated(UNRELATED)


def _gate_refuses(deal: Deal, fakes: Tensor) -> bool:
    """Whether ``gates.not_memorised`` refuses, by KID of the pixels."""
    train, held, made = ((images.flatten(1).double() / 127.5 - 1).numpy() for images in
                         (deal.of(deal.train), deal.of(deal.held), fakes))  # fmt: skip
    reference = kernel_distance(train, held)
    measured = []
    for pairing, real, rows in (("train", train, deal.train), ("test", held, deal.held)):
        patients = numbered(deal.patients[rows].tolist())
        value, low, high = kernel_estimate(real, made, SETTINGS.confidence, patients)
        measured.append(Measurement(
            quantity=Quantity("kid", "pixel", pairing), value=value, low=low, high=high,
            confidence=SETTINGS.confidence, reference=reference, direction=Direction.LOWER, n_real=len(real),
            n_fake=len(made), seed=0, implementation="", epoch=1,
        ))  # fmt: skip
    return gates.not_memorised(measured, "test").refuses


def _claims(kinds: dict[str, Kind], records: dict[str, Record]) -> Iterator[Claim]:
    for name, kind in kinds.items():
        case = f"copies of training images, {name}: found"
        yield Claim(Decision.MOVED_COPIES, case, mean_of(kind.found), mean_of(kind.found_by_pixels), least=0.95)
    moved, unrelated = Decision.MOVED_COPIES, records[NOTHING]
    yield unrelated.claim(moved, "images of unrelated patients alone: any check refuses", Outcome.REFUSED, most=0.05)
    alarms = mean_of([bool(audit.copied.any()) for audit in unrelated.audits])
    yield Claim(moved, "images of unrelated patients alone: the search takes any for a copy", alarms, most=0.05)
    case = f"{COPIES} moved copies among {UNRELATED} unrelated images: passed"
    yield records[QUARTER].claim(moved, case, Outcome.PASSED, most=0.0)
    for name in REPLAYS:
        audits, by_gate = records[name].audits, mean_of(records[name].by_gate)
        refused = mean_of([audit.outcome is Outcome.REFUSED for audit in audits])
        yield Claim(Decision.MEMORISED, f"replays of training images, {name}: refused", refused, by_gate, least=0.95)
