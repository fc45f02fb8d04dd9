"""How often the utility study says "the images help" where they do not, and where they do: simulated studies.

    python benchmarks/decisions_utility.py --out PAGE.md [--studies 1000] [--trained 200] [--whole 24] [--machine TEXT]

Three kinds, each through the project's own functions: scores of classifiers whose AUC is known (``conclude`` alone),
classifiers fitted to feature vectors, and whole studies (``study``) of small images and networks. Exit status 1 where
"help" is said significantly more often than in 5% of studies in which nothing helps, or a planted effect of the size
that the studies themselves name as their smallest is found in fewer than 80% (one-sided exact tests at 1%).
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from scipy.stats import binom, norm
from torch import Tensor

from mammogan import config, console, storage
from mammogan.data import manifest, picture
from mammogan.results import Benefit
from mammogan.statistics import Floats
from mammogan.utility import delong, study
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC
from mammogan.utility.comparison import difference_estimate
from mammogan.utility.decision import POWER, Conclusion, conclude
from mammogan.utility.held_out import HeldOut, validation_images

CONFIDENCE = 0.95
BLOCKS = 5
SURE = 0.01
"""Level of the tests by which a rate is held to break its bound."""
LEARNERS = (REAL, OVERSAMPLED, AUGMENTED, SYNTHETIC, BOTH)


@dataclass(frozen=True)
class Simulated:
    """One study that was simulated."""

    finding: Benefit
    smallest_effect: float
    old: bool
    """Whether the rule that was before says "help": synthetic images better than real ones alone, 95% interval."""


@dataclass(frozen=True)
class Row:
    """What many studies of one kind came to."""

    name: str
    truth: str
    studies: tuple[Simulated, ...]
    most: float | None = None
    """Bound of the share of "help"."""
    least: float | None = None

    def share(self, of: Callable[[Simulated], bool]) -> tuple[float, float]:
        """Share of the studies and its Monte-Carlo standard error."""
        rate = sum(map(of, self.studies)) / len(self.studies)
        return rate, math.sqrt(rate * (1 - rate) / len(self.studies))

    @property
    def broken(self) -> bool:
        """Whether the share of "help" is beyond a bound, by more than chance."""
        hits, count = sum(map(helps, self.studies)), len(self.studies)
        above = self.most is not None and binom.sf(hits - 1, count, self.most) < SURE
        return above or (self.least is not None and binom.cdf(hits, count, self.least) < SURE)

    @property
    def smallest(self) -> float:
        """Mean of the smallest effects that the studies name."""
        return float(np.mean([item.smallest_effect for item in self.studies]))


def helps(item: Simulated) -> bool:
    """Whether a study says so."""
    return item.finding is Benefit.HELPS


def simulated(scores: Mapping[str, Floats], test: HeldOut) -> Simulated:
    """The finding from scores (S, T) by arm, and that of the old rule."""
    return _of(conclude(scores, test, CONFIDENCE), scores, test)


def _of(result: Conclusion, scores: Mapping[str, Floats], test: HeldOut) -> Simulated:
    gain = delong.components(scores[SYNTHETIC], test) - delong.components(scores[REAL], test)
    low = difference_estimate(gain, CONFIDENCE).low
    return Simulated(result.finding, result.smallest_effect or math.nan, low is not None and low > 0)


# scores whose AUC is known


@dataclass(frozen=True)
class TestSet:
    """How many patients, and how many images each."""

    __test__ = False
    benign: int
    malignant: int
    images: int = 1
    mixed: bool = False
    """Whether one image in four of a malignant patient is benign."""

    def drawn(self, rng: np.random.Generator) -> HeldOut:
        """Labels and patients."""
        of_patient = np.repeat([0, 1], [self.benign, self.malignant])
        patients = np.repeat(np.arange(len(of_patient)), rng.integers(1, self.images + 1, len(of_patient)))
        labels = of_patient[patients]
        if self.mixed:
            labels = np.where(rng.uniform(size=len(labels)) < 0.25, 0, labels)
            labels[np.searchsorted(patients, self.benign)] = 1
        return HeldOut(labels, [f"p{number}" for number in patients])


SPREADS = {"patient": 0.8, "arm and patient": 0.25, "image": 0.4, "training": 0.15}
"""Standard deviations of a score: of the patient, shared by all arms; of arm and patient; of every image of every
training; and of a training's separation of the classes."""


def scored(auc: Mapping[str, float], of: TestSet, rng: np.random.Generator) -> Simulated:
    """A study of arms whose AUC on new patients, one image each, is ``auc``, mean over trainings."""
    test = of.drawn(rng)
    index, count = test.patient_index, int(test.patient_index.max()) + 1
    variance = sum(SPREADS[name] ** 2 for name in ("patient", "arm and patient", "image"))
    shared = rng.normal(scale=SPREADS["patient"], size=count)[index]
    scores = {}
    for arm in LEARNERS:
        mean = norm.ppf(auc[arm]) * math.sqrt(2 * variance + SPREADS["training"] ** 2)
        separation = mean + rng.normal(scale=SPREADS["training"], size=(BLOCKS, 1))
        own = rng.normal(scale=SPREADS["arm and patient"], size=count)[index]
        noise = rng.normal(scale=SPREADS["image"], size=(BLOCKS, len(index)))
        scores[arm] = expit(separation * test.labels + shared + own + noise)
    return simulated(scores, test)


def levels(alone: float, balanced: float, gain: float, gain_augmented: float) -> dict[str, float]:
    """AUC by arm: real alone, oversampled and augmented alike, and what synthetic images add to either."""
    return {REAL: alone, OVERSAMPLED: balanced, AUGMENTED: balanced,
            SYNTHETIC: balanced + gain, BOTH: balanced + gain_augmented}  # fmt: skip


SETS = {
    "43 images of 43 patients (20 malignant)": TestSet(23, 20),
    "10 patients (5 malignant)": TestSet(5, 5),
    "112 patients (52 malignant), 1 to 3 images each, some with both classes": TestSet(60, 52, 3, mixed=True),
}


def score_rows(count: int) -> Iterator[Row]:
    """Studies of known AUC: nothing helps, harm, help in one comparison alone, and the effect that they can find."""
    for name, of in SETS.items():
        run = partial(_score_row, of=of, count=count)
        null = run(f"{name}", "as good as oversampling", levels(0.625, 0.69, 0, 0), most=0.05)
        yield null
        yield run(name, "worse by 0.05", levels(0.625, 0.69, -0.05, -0.05), most=0.05)
        yield run(name, "better than oversampling by 0.2, with augmentation no better", levels(0.625, 0.69, 0.2, 0),
                  most=0.05)  # fmt: skip
        if null.smallest < 0.25:
            effect = round(null.smallest, 3)
            yield run(name, f"better by {effect:.3f} in both, the smallest effect that these studies name",
                      levels(0.625, 0.69, effect, effect), least=POWER)  # fmt: skip


def _score_row(name: str, truth: str, auc: Mapping[str, float], of: TestSet, count: int, **bounds: float) -> Row:
    rng = np.random.default_rng(17)
    with console.progress(truth, count) as advance:
        studies = []
        for _ in range(count):
            studies.append(scored(auc, of, rng))
            advance()
    return Row(name, truth, tuple(studies), **bounds)


# classifiers of feature vectors

DIMENSIONS = 12
SHIFT = 0.35
"""Distance of the class means in each feature, in standard deviations."""
TRAIN, TEST = (120, 24), (60, 60)
"""Benign and malignant patients, one vector each."""
Vectors = Floats
Generator = Callable[[Vectors, int, np.random.Generator], Vectors]
"""Malignant training vectors, and how many to make -> vectors (M, D) that are handed over as malignant."""


def vectors(label: int, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors (count, D) of a class."""
    return rng.normal(label * SHIFT, 1, (count, DIMENSIONS))


def copies(malignant: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Training vectors again."""
    return malignant[rng.integers(len(malignant), size=count)]


def either_class(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors of which half are benign."""
    return np.concatenate([vectors(0, count // 2, rng), vectors(1, count - count // 2, rng)])


def noise(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Vectors that follow no class."""
    return rng.normal(0, 1, (count, DIMENSIONS))


def truth(_: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """New vectors of the class, as of more patients."""
    return vectors(1, count, rng)


GENERATORS: dict[str, tuple[Generator, float | None]] = {
    "copies of training vectors": (copies, 0.05),
    "vectors of either class": (either_class, 0.05),
    "noise": (noise, 0.05),
    "new true vectors": (truth, None),
}
"""What the vectors are, who makes them, and the bound of the share of "help"."""


def fitted(generator: Generator, rng: np.random.Generator) -> Simulated:
    """A study of ridge logistic regressions, one for every arm and block."""
    pool = np.concatenate([vectors(label, count, rng) for label, count in enumerate(TRAIN)])
    labels = np.repeat([0, 1], TRAIN)
    test = HeldOut(np.repeat([0, 1], TEST), [f"p{number}" for number in range(sum(TEST))])
    test_vectors = np.concatenate([vectors(label, count, rng) for label, count in enumerate(TEST)])
    scores: dict[str, list[Floats]] = {arm: [] for arm in LEARNERS}
    for block in range(BLOCKS):
        learnt = ~validation_images(labels, [str(number) for number in range(len(labels))], 0.2, block)
        benign, malignant = (pool[learnt & (labels == label)] for label in (0, 1))
        synthetic = generator(malignant, TRAIN[0] - TRAIN[1], rng)
        filled = np.concatenate([malignant, synthetic])
        natural = len(malignant) / len(benign)
        ways = {
            REAL: (malignant, natural, False), OVERSAMPLED: (malignant, 1.0, False), AUGMENTED: (malignant, 1.0, True),
            SYNTHETIC: (filled, 1.0, False), BOTH: (filled, 1.0, True),
        }  # fmt: skip
        for arm, (rare, odds, augment) in ways.items():
            scores[arm].append(expit(test_vectors @ logistic(benign, rare, odds, augment, rng)))
    return simulated({arm: np.array(rows) for arm, rows in scores.items()}, test)


def logistic(benign: Vectors, rare: Vectors, odds: float, augment: bool, rng: np.random.Generator) -> Floats:
    """Coefficients (D,), without the intercept, which no AUC depends on; ``odds`` is the rare class's weight.

    Each fit draws its vectors anew, as a training by batches does; augmentation adds noise to them.
    """
    picked = [side[rng.integers(len(side), size=200)] for side in (benign, rare)]
    x = np.concatenate(picked) + (rng.normal(0, 0.5, (400, DIMENSIONS)) if augment else 0)
    y, weight = np.repeat([0, 1], 200), np.repeat([1.0, odds], 200)
    design = np.concatenate([x, np.ones((400, 1))], axis=1)
    result = np.zeros(DIMENSIONS + 1)
    for _ in range(6):
        p = expit(design @ result)
        information = design.T @ (design * (weight * p * (1 - p))[:, None]) + np.eye(DIMENSIONS + 1)
        result = result + np.linalg.solve(information, design.T @ (weight * (y - p)) - result)
    return result[:-1]


def fitted_rows(count: int) -> Iterator[Row]:
    """Studies of feature vectors: generators that add nothing, and one that is the truth."""
    for name, (generator, most) in GENERATORS.items():
        rng, studies = np.random.default_rng(18), []
        with console.progress(name, count) as advance:
            for _ in range(count):
                studies.append(fitted(generator, rng))
                advance()
        yield Row("feature vectors, 60 and 60 test patients", name, tuple(studies), most)


# whole studies

SIDE = 16
WHOLE_TRAIN, WHOLE_TEST = (40, 10), (40, 40)


def image(rng: np.random.Generator, label: int) -> np.ndarray:
    """(16, 16) uint8: noise, with a faint spot anywhere where the label is 1."""
    y, x = np.mgrid[:SIDE, :SIDE]
    spot = label * 45 * np.exp(-((x - rng.uniform(4, 12)) ** 2 + (y - rng.uniform(4, 12)) ** 2) / 8)
    return (100 + rng.normal(0, 20, (SIDE, SIDE)) + spot).clip(0, 255).astype(np.uint8)


def write_dataset(folder: Path, rng: np.random.Generator) -> Tensor:
    """A data set of one image a patient; returns the malignant training images, uint8 (N, 1, 16, 16)."""
    rows, malignant = [], []
    (folder / "images").mkdir(parents=True)
    for side, counts in (("train", WHOLE_TRAIN), ("test", WHOLE_TEST)):
        for label in np.repeat([0, 1], counts):
            pixels, name = image(rng, label), f"{side}{len(rows):04d}"
            path = folder / "images" / f"{name}.png"
            path.write_bytes(picture.encode_png(pixels))
            rows.append({
                "image_id": name, "file": f"images/{name}.png", "label": label,
                "pathology": manifest.CLASSES[label].upper(), "patient_id": name, "laterality": "LEFT", "view": "CC",
                "abnormality": "mass", "subset": "simulated", "split": side, "source": name, "source_uid": "1.2",
                "source_sha256": "0" * 64, "sha256": storage.sha256_of(path), "original_rows": SIDE,
                "original_cols": SIDE,
            })  # fmt: skip
            if (side, label) == ("train", 1):
                malignant.append(pixels)
    manifest.write(pd.DataFrame(rows), folder)
    return torch.from_numpy(np.stack(malignant))[:, None]


def whole_study(seed: int, useful: bool) -> Simulated:
    """A study of small networks: synthetic images are copies of training images, or new true ones."""
    rng = np.random.default_rng([19, seed])
    settings = {
        "utility.shares": "1", "utility.batch_size": 16, "utility.steps": 120, "utility.check_every": 10,
        "utility.patience": 3, "utility.learning_rate": 3e-3, "utility.seeds": BLOCKS,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        malignant = write_dataset(Path(folder, "set"), rng)

        def draw(count: int, _: int) -> Tensor:
            if not useful:
                return malignant[torch.from_numpy(rng.integers(len(malignant), size=count))]
            return torch.from_numpy(np.stack([image(rng, 1) for _ in range(count)]))[:, None]

        fakes = draw(WHOLE_TRAIN[0] - WHOLE_TRAIN[1], 0)
        chosen = config.override(config.PRESETS["demo"], settings)
        result = study(Path(folder, "set"), chosen, Path(folder, "out"), fakes=fakes, label=1, draw=draw)
    aucs = {item.arm: item for item in result.measures if item.metric == "auc"}
    old = np.array(aucs[SYNTHETIC].by_seed) - np.array(aucs[REAL].by_seed)
    half = 2.776 * old.std(ddof=1) / math.sqrt(len(old))
    return Simulated(result.finding, result.smallest_effect or math.nan, bool(old.mean() - half > 0))


def whole_rows(count: int) -> Iterator[Row]:
    """Whole studies, where nothing helps and where true images do."""
    torch.set_num_threads(1)
    name = "whole studies, 16 px, 40 and 40 test patients"
    for truth, useful, most in (("copies of training images", False, 0.05), ("new true images", True, None)):
        studies = []
        with console.progress(truth, count) as advance:
            for seed in range(count):
                studies.append(whole_study(seed, useful))
                advance()
        yield Row(name, truth, tuple(studies), most)


def page(rows: list[Row], machine: str) -> str:
    """Markdown: the table and what it rests on."""
    lines = [
        '# How often "the synthetic images help" is said', "",
        "`python benchmarks/decisions_utility.py` made the table.", "",
        '| studies | the synthetic images are | simulated | said "help" | said "harm" | bound of "help" '
        '| the rule before said "help" | smallest effect named (AUC) |',
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        cells = [
            row.name, row.truth, f"{len(row.studies)}", _percent(*row.share(helps)),
            _percent(*row.share(lambda item: item.finding is Benefit.HARMS)), _bound(row),
            _percent(*row.share(lambda item: item.old)), f"{row.smallest:.3f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Percent, with the Monte-Carlo standard error. {machine}".strip()]) + "\n"


def _percent(rate: float, error: float) -> str:
    return f"{100 * rate:.1f} ± {100 * error:.1f}"


def _bound(row: Row) -> str:
    text = f"at most {row.most:.0%}" if row.most is not None else f"at least {row.least:.0%}" if row.least else "none"
    return f"**broken**: {text}" if row.broken else text


def main() -> None:
    """Simulate, write the table, and end with status 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--studies", type=int, default=1000, help="studies of known AUC, a row of the table; 0 leaves them out"
    )
    parser.add_argument("--trained", type=int, default=200, help="studies of feature vectors, likewise")
    parser.add_argument("--whole", type=int, default=24, help="whole studies, likewise")
    parser.add_argument("--machine", default="", help="what it ran on, for the page")
    parser.add_argument("--out", type=Path, help="page to write")
    arguments = parser.parse_args()
    kinds = ((score_rows, arguments.studies), (fitted_rows, arguments.trained), (whole_rows, arguments.whole))
    rows = [row for simulate, count in kinds if count for row in simulate(count)]
    text = page(rows, arguments.machine)
    print(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())
    sys.exit(any(row.broken for row in rows))


if __name__ == "__main__":
    main()
