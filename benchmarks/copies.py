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
from collections.abc import Callable
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
        found = moved_copies.decide(self.unrelated, matches, CONFIG.confidence)
        sides = [self.patients[side].tolist() for side in (self.train, self.held)]
        train, held = self.images[torch.from_numpy(self.train)], self.images[torch.from_numpy(self.held)]
        counts = len(train), len(held), len(fakes), len(set(sides[0])), len(set(sides[1]))
        subject = Subject(AuditCheck.MOVED_COPIES, "moved copies", MOVED, MEANINGS["moved copies"])
        moved = judgement.share(
            subject, copies.rate(found.copied, CONFIG.confidence), CONFIG.max_memorised,
            Sample(*counts, CONFIG.confidence),
        )  # fmt: skip
        pixels = by_distance(measure(PIXEL, train, held, fakes, 50), *sides, CONFIG, PIXEL)
        verdicts = [judgement.verdict(subject, moved), *pixels.verdicts]
        return combined(verdicts), found.copied


@dataclass
class Count:
    """Copies of one kind: how many were looked at, found, and how their correlations were."""

    cases: int = 0
    found: int = 0


def simulate(images: Tensor, patients: np.ndarray, cases: int) -> tuple[dict[str, Count], int, int, int, int]:
    """By kind the copies found; false alarms by the search and by any check; quarters refused and passed."""
    rng = np.random.default_rng(0)
    reals = correlated(images, alignment.prepare(images, CPU), "real images")
    sources = {kind: rng.permutation(len(images))[:cases] for kind in KINDS}
    made = {
        kind: torch.stack([move(images[int(source)].float(), rng) for source in sources[kind]]).clamp(0, 255).round()
        for kind, move in KINDS.items()
    }
    moved = {kind: correlated(made[kind].to(torch.uint8), reals.pictures, kind) for kind in KINDS}
    counts = {kind: Count() for kind in KINDS}
    open_cases = {kind: np.ones(len(sources[kind]), dtype=bool) for kind in KINDS}
    alarms = refusals = quarters_refused = quarters_passed = 0
    with console.progress("audits", cases) as advance:
        for seed in range(cases):
            deal = Deal(reals, images, patients, seed)
            strangers = images[torch.from_numpy(deal.others)]
            outcome, flagged = deal.outcome(deal.others_matches, strangers)
            alarms += bool(flagged.any())
            refusals += outcome is Outcome.REFUSED
            pool, pictures = [], []
            for kind in KINDS:
                at_hand = np.flatnonzero(np.isin(sources[kind], deal.train))
                chosen = deal.rng.choice(at_hand, min(len(at_hand), 12), replace=False)
                due = np.flatnonzero(open_cases[kind] & np.isin(sources[kind], deal.train))
                if len(due):
                    matches = moved[kind].matches(due, deal.train)
                    found = moved_copies.decide(deal.unrelated, joined(matches, deal.others_matches), CONFIG.confidence)
                    right = deal.train[matches.train] == sources[kind][due]
                    counts[kind].cases += len(due)
                    counts[kind].found += int((found.copied[: len(due)] & right).sum())
                    open_cases[kind][due] = False
                pool.append(moved[kind].matches(chosen, deal.train))
                pictures.append(made[kind][torch.from_numpy(chosen)].to(torch.uint8))
            copied, rest = QUARTER
            picked = deal.rng.permutation(sum(map(len, pictures)))[:copied]
            others = deal.rng.choice(len(deal.others), min(rest, len(deal.others)), replace=False)
            both = joined(_some(joined(*pool), picked), _some(deal.others_matches, others))
            fakes = torch.cat([torch.cat(pictures)[torch.from_numpy(picked)], strangers[torch.from_numpy(others)]])
            outcome, _ = deal.outcome(both, fakes)
            quarters_refused += outcome is Outcome.REFUSED
            quarters_passed += outcome is Outcome.PASSED
            advance()
    return counts, alarms, refusals, quarters_refused, quarters_passed


def _some(matches: Matches, chosen: Ints) -> Matches:
    return Matches(*(getattr(matches, field.name)[chosen] for field in dataclasses.fields(Matches)))


def shown(hits: int, count: int) -> str:
    """A count with its share and interval."""
    share = copies.clopper_pearson(hits, count, 0.95)
    low, high = judgement.ends(share)
    return f"{hits} of {count} | {share.value:.3f} ({low:.3f} to {high:.3f})"


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
    counts, alarms, refusals, refused, passed = simulate(images, patients, arguments.cases)
    lines = ["| copies of training images | found | share |", "|---|---|---|"]
    lines += [f"| {kind} | {shown(count.found, count.cases)} |" for kind, count in counts.items()]
    audits = arguments.cases
    lines += ["", "| audits | of them | share |", "|---|---|---|"]
    lines += [f"| unrelated patients' images: anything taken for a copy | {shown(alarms, audits)} |"]
    lines += [f"| unrelated patients' images: any check refuses | {shown(refusals, audits)} |"]
    lines += [f"| 60 moved copies among 180 unrelated images: refused | {shown(refused, audits)} |"]
    lines += [f"| 60 moved copies among 180 unrelated images: passed | {shown(passed, audits)} |"]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())
    missed = [kind for kind, count in counts.items() if count.found < LEAST_FOUND * count.cases]
    if missed or max(alarms, refusals) > MOST_ALARMS * audits or passed:
        sys.exit(f"a bound breaks: missed {missed}, {alarms} and {refusals} false alarms, {passed} quarters passed")


if __name__ == "__main__":
    main()
