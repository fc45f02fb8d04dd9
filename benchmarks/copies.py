"""Whether moved copies are found, and unrelated patients left alone: simulated audits on real images.

    python benchmarks/copies.py DATASET --cases 200 --out PAGE.md

DATASET is one that ``ingest`` wrote; its malignant images are taken, both splits. Of each kind of move so many cases
are made. In every one of as many audits patients are dealt anew, half of them to train, an eighth held out, the rest
unrelated. A copy counts as found where the audit takes it for a copy of its own original, among the unrelated
patients' images; each is looked at in the first audit that trains on its original. A false alarm is an audit of
unrelated patients' images alone in which anything is taken for a copy, or any check refuses; pixels judge beside the
search. And a quarter of moved copies among unrelated images must never pass. The exit status is 1 where a kind is found
in less than 95%, more than 5% of the audits are false alarms, or a quarter of copies passes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mammogan import console, storage
from mammogan.audit import alignment, copies, judgement, moved_copies
from mammogan.audit.answers import MEANINGS, MOVED, by_distance
from mammogan.audit.distances import Space, measure, pixel_embedding
from mammogan.audit.judgement import Sample, Subject
from mammogan.audit.moved_copies import Matches
from mammogan.config import AuditCheck, AuditConfig, SpaceKind
from mammogan.data.dataset import Dataset
from mammogan.results import Outcome, combined
from mammogan.statistics import Floats, Ints

MALIGNANT = 1
CPU = torch.device("cpu")
CONFIG = AuditConfig()
PIXEL = Space(SpaceKind.PIXEL, "pixel", "pixels", pixel_embedding)
LEAST_FOUND, MOST_ALARMS = 0.95, 0.05
QUARTER = 60, 180
"""Moved copies and unrelated images of the audits that must never pass."""

Move = Callable[[Tensor, np.random.Generator], Tensor]
"""One image (1, H, W), float32, grey values, to another."""


def shifted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by an eighth of the side along one axis, at most so much along the other; rolled or its edge repeated."""
    most = round(image.shape[-1] / 8)
    shift = rng.permutation([most, int(rng.integers(0, most + 1))]) * rng.choice([-1, 1], 2)
    if rng.random() < 0.5:
        return image.roll((int(shift[0]), int(shift[1])), (-2, -1))
    padded = functional.pad(image[None], (most,) * 4, mode="replicate")[0]
    row, column = (most + shift).tolist()
    return padded[:, row : row + image.shape[-2], column : column + image.shape[-1]]


def mirrored(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One of the seven other symmetries of the square."""
    number = int(rng.integers(1, 8))
    image = image.transpose(-1, -2) if number & 4 else image
    image = image.flip(-1) if number & 1 else image
    return image.flip(-2) if number & 2 else image


def brightened(image: Tensor, rng: np.random.Generator) -> Tensor:
    """40 grey values brighter or darker."""
    return image + 40 * float(rng.choice([-1, 1]))


def contrasted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Half or one and a half times the contrast."""
    return (image - image.mean()) * float(rng.choice([0.5, 1.5])) + image.mean()


def cropped(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Cropped to 90% of the side anywhere, and enlarged."""
    side = round(0.9 * image.shape[-1])
    row, column = rng.integers(0, image.shape[-1] - side + 1, 2).tolist()
    part = image[None, :, row : row + side, column : column + side]
    return functional.interpolate(part, size=image.shape[-2:], mode="bicubic", align_corners=False)[0]


def turned(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Turned by 3 to 10 degrees either way."""
    angle = np.deg2rad(rng.uniform(3, 10)) * rng.choice([-1, 1])
    matrix = torch.tensor([[[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]]).float()
    grid = functional.affine_grid(matrix, [1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]


def noisy(deviation: float) -> Move:
    """Noise of a deviation in grey values."""
    return lambda image, rng: image + torch.from_numpy(rng.normal(scale=deviation, size=image.shape)).float()


def everything(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Cropped, mirrored, brightened, of less contrast and noisy, one after the other."""
    for move in (cropped, mirrored, contrasted, brightened, noisy(10)):
        image = move(image, rng)
    return image


KINDS: dict[str, Move] = {
    "shifted by 12.5%": shifted,
    "mirrored or turned by 90 degrees": mirrored,
    "brightness 40 up or down": brightened,
    "contrast 0.5 or 1.5": contrasted,
    "cropped to 90%": cropped,
    "noise 10": noisy(10),
    "noise 30": noisy(30),
    "turned by 3 to 10 degrees": turned,
    "cropped, mirrored, contrast, brightness and noise 10": everything,
}


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


class Deal:
    """Patients dealt to train, held-out and unrelated."""

    def __init__(self, reals: Correlated, images: Tensor, patients: np.ndarray, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        names = self.rng.permutation(np.unique(patients))
        parts = np.split(names, [len(names) // 2, len(names) // 2 + len(names) // 8])
        self.train, self.held, self.others = (np.flatnonzero(np.isin(patients, part)) for part in parts)
        self.images, self.patients = images, patients
        known = np.concatenate([self.train, self.held])
        own = patients[known][:, None] == patients[self.train][None]
        self.unrelated = reals.matches(known, self.train, own)
        self.others_matches = reals.matches(self.others, self.train)

    def outcome(self, matches: Matches, fakes: Tensor) -> tuple[Outcome, np.ndarray]:
        """What the audit of ``fakes`` comes to, whose matches are given, and which of them are taken for copies."""
        result = moved_copies.decide(self.unrelated, matches, CONFIG.confidence)
        sides = [self.patients[side].tolist() for side in (self.train, self.held)]
        train, held = self.images[torch.from_numpy(self.train)], self.images[torch.from_numpy(self.held)]
        counts = len(train), len(held), len(fakes), len(set(sides[0])), len(set(sides[1]))
        subject = Subject(AuditCheck.MOVED_COPIES, "moved copies", MOVED, MEANINGS["moved copies"])
        moved = judgement.share(
            subject, copies.rate(result.copied, CONFIG.confidence), CONFIG.max_memorised,
            Sample(*counts, CONFIG.confidence),
        )  # fmt: skip
        pixels = by_distance(measure(PIXEL, train, held, fakes, 50), *sides, CONFIG, PIXEL)
        verdicts = [judgement.verdict(subject, moved), *pixels.verdicts]
        return combined(verdicts), result.copied


@dataclass
class Count:
    """Copies of one kind: how many were looked at, and found."""

    cases: int = 0
    hits: int = 0


@dataclass
class Outcomes:
    """What the simulated audits came to."""

    kinds: dict[str, Count]
    alarms: int = 0
    """Audits of unrelated images in which anything was taken for a copy."""
    refusals: int = 0
    """Audits of unrelated images that any check refused."""
    quarters_refused: int = 0
    quarters_passed: int = 0


@dataclass
class Kind:
    """Copies of one kind of move, and which of them no audit has looked at yet."""

    images: Tensor
    """(N, 1, H, W), uint8."""
    sources: Ints
    """(N,): the real image that each copies."""
    correlated: Correlated
    due: np.ndarray

    def in_train(self, deal: Deal) -> np.ndarray:
        """Which copies (N,) are of a training image."""
        return np.isin(self.sources, deal.train)


def kinds_of(images: Tensor, reals: Correlated, cases: int, rng: np.random.Generator) -> dict[str, Kind]:
    """So many copies of every kind of move."""
    kinds = {}
    for name, move in KINDS.items():
        sources = rng.permutation(len(images))[:cases]
        moved = torch.stack([move(images[int(source)].float(), rng) for source in sources])
        moved = moved.clamp(0, 255).round().to(torch.uint8)
        due = np.ones(len(sources), dtype=bool)
        kinds[name] = Kind(moved, sources, correlated(moved, reals.pictures, name), due)
    return kinds


def look_for(kind: Kind, deal: Deal, count: Count) -> None:
    """Count the copies that are due and of training images, and those found among the unrelated images."""
    rows = np.flatnonzero(kind.due & kind.in_train(deal))
    if not len(rows):
        return
    matches = kind.correlated.matches(rows, deal.train)
    result = moved_copies.decide(deal.unrelated, joined(matches, deal.others_matches), CONFIG.confidence)
    right = deal.train[matches.train] == kind.sources[rows]
    count.cases += len(rows)
    count.hits += int((result.copied[: len(rows)] & right).sum())
    kind.due[rows] = False


def quarter_of_copies(kinds: Iterable[Kind], deal: Deal) -> Outcome:
    """What the audit of 60 moved copies of any kind among 180 unrelated images comes to."""
    copied, rest = QUARTER
    matches, pictures = [], []
    for kind in kinds:
        candidates = np.flatnonzero(kind.in_train(deal))
        rows = deal.rng.choice(candidates, min(len(candidates), 2 * copied // len(KINDS)), replace=False)
        matches.append(kind.correlated.matches(rows, deal.train))
        pictures.append(kind.images[torch.from_numpy(rows)])
    picked = deal.rng.permutation(sum(map(len, pictures)))[:copied]
    others = deal.rng.choice(len(deal.others), min(rest, len(deal.others)), replace=False)
    both = joined(_some(joined(*matches), picked), _some(deal.others_matches, others))
    unrelated = deal.images[torch.from_numpy(deal.others[others])]
    return deal.outcome(both, torch.cat([torch.cat(pictures)[torch.from_numpy(picked)], unrelated]))[0]


def simulate(images: Tensor, patients: np.ndarray, cases: int) -> Outcomes:
    """So many audits, and cases of each kind."""
    reals = correlated(images, alignment.prepare(images, CPU), "real images")
    kinds = kinds_of(images, reals, cases, np.random.default_rng(0))
    outcomes = Outcomes({name: Count() for name in KINDS})
    with console.progress("audits", cases) as advance:
        for seed in range(cases):
            deal = Deal(reals, images, patients, seed)
            outcome, copied = deal.outcome(deal.others_matches, images[torch.from_numpy(deal.others)])
            outcomes.alarms += bool(copied.any())
            outcomes.refusals += outcome is Outcome.REFUSED
            for name, kind in kinds.items():
                look_for(kind, deal, outcomes.kinds[name])
            outcome = quarter_of_copies(kinds.values(), deal)
            outcomes.quarters_refused += outcome is Outcome.REFUSED
            outcomes.quarters_passed += outcome is Outcome.PASSED
            advance()
    return outcomes


def _some(matches: Matches, chosen: Ints) -> Matches:
    return Matches(*(getattr(matches, field.name)[chosen] for field in dataclasses.fields(Matches)))


def shown(hits: int, count: int) -> str:
    """A count with its share and interval."""
    share = copies.clopper_pearson(hits, count, 0.95)
    low, high = judgement.ends(share)
    return f"{hits} of {count} | {share.value:.3f} ({low:.3f} to {high:.3f})"


def table(result: Outcomes, audits: int) -> str:
    """Markdown of what was found and what was refused."""
    lines = ["| copies of training images | found | share |", "|---|---|---|"]
    lines += [f"| {kind} | {shown(count.hits, count.cases)} |" for kind, count in result.kinds.items()]
    lines += ["", "| audits | of them | share |", "|---|---|---|"]
    lines += [
        f"| {name} | {shown(number, audits)} |"
        for name, number in {
            "unrelated patients' images: anything taken for a copy": result.alarms,
            "unrelated patients' images: any check refuses": result.refusals,
            "60 moved copies among 180 unrelated images: refused": result.quarters_refused,
            "60 moved copies among 180 unrelated images: passed": result.quarters_passed,
        }.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Deal, move and audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    console.configure()
    reals = Dataset.read(arguments.dataset).real.of(MALIGNANT)
    images, patients = reals.images(), np.array(reals.patients)
    result = simulate(images, patients, arguments.cases)
    text = table(result, arguments.cases)
    print(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())
    missed = [kind for kind, count in result.kinds.items() if count.hits < LEAST_FOUND * count.cases]
    if missed or max(result.alarms, result.refusals) > MOST_ALARMS * arguments.cases or result.quarters_passed:
        sys.exit(f"a bound breaks: missed {missed}; {result}")


if __name__ == "__main__":
    main()
