"""The study: every arm with every seed, each kept as soon as it is trained, then the comparison and its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from mammogan import codec, console, results, storage
from mammogan.config import Config, digest
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.device import pick_device
from mammogan.errors import NotEnoughDataError
from mammogan.image_tensors import digest_of
from mammogan.records import Findings
from mammogan.reporting import findings
from mammogan.results import Finding, Utility, UtilityArm, UtilityCounts, UtilityEffect, UtilityMetric
from mammogan.statistics import Floats
from mammogan.utility import curves
from mammogan.utility.arms import Arm, Pool, arms
from mammogan.utility.classifier import train_and_score
from mammogan.utility.comparison import Test, compare, metrics

FILE = "utility.json"
PAGE = "utility.html"
FITS = "fits"
FORMAT = 1
"""Raised when a training comes out otherwise than before, so that no kept one is mixed with new ones."""


def study(
    dataset: Path, config: Config, out: Path, *, fakes: Tensor | None = None, label: int | None = None
) -> Utility:
    """Train classifiers on a filled data set, or on any data set and ``fakes`` of class ``label``, and compare them.

    The test set is the real test images of patients who are not in train. Each training's scores are kept below
    ``out/fits``; run again, only what is missing is trained. Writes ``utility.json``, its figures and
    ``utility.html`` below ``out`` and returns the first one. Raises NotEnoughDataError where train or test lacks
    patients of a class, ValueError where there are no synthetic images.
    """
    whole = Dataset.read(dataset)
    pool, test, images, left_out = _sets(whole, fakes, label)
    known = arms(pool, config.utility.shares)
    scores = _scores(known, images, config, out / FITS, whole.digest)
    chosen = metrics(config.utility.specificity)
    measures, effects = compare(scores, test, chosen, config.utility.confidence)
    finding, sentence = verdict(effects, known)
    result = Utility(
        finding=finding,
        verdict=sentence,
        classifier=config.utility.classifier,
        seeds=config.utility.seeds,
        steps=config.utility.steps,
        metrics=tuple(UtilityMetric(metric.name, metric.title, metric.aim) for metric in chosen),
        arms=tuple(_counted(arm) for arm in known),
        measures=tuple(measures),
        effects=tuple(effects),
        counts=UtilityCounts(
            test=len(images),
            test_patients=len(set(test.patients)),
            test_images_of_train_patients=left_out,
            synthetic=len(pool.synthetic),
        ),
    )
    _write(result, out)
    return result


def _sets(whole: Dataset, fakes: Tensor | None, label: int | None) -> tuple[Pool, Test, Tensor, int]:
    """Training pool, test labels and patients, test images, and how many test images of train patients are left out."""
    train, test = whole.real.train, whole.real.test
    if fakes is None:
        if not len(whole.synthetic):
            raise ValueError(f"dataset={str(whole.root)!r}: it holds no synthetic images; fill it with synthesise")
        fakes, label = whole.synthetic.images(), int(whole.synthetic.labels[0])
    assert label is not None, "images from outside come with their class"
    held_out = test.without_patients_of(train)
    for name, side, least in (("train", train, 1), ("test", held_out, 2)):
        for number, kind in enumerate(manifest.CLASSES):
            patients = len(set(side.of(number).patients))
            if patients < least:
                raise NotEnoughDataError(
                    f"dataset={str(whole.root)!r}: {patients} {kind} patients in {name}; the study needs {least} or "
                    "more"
                )
    pool = Pool((train.of(0).images(), train.of(1).images()), fakes, label)
    return pool, Test(held_out.labels, held_out.patients), held_out.images(), len(test) - len(held_out)


def _scores(known: Sequence[Arm], test: Tensor, config: Config, folder: Path, data_digest: str) -> dict[str, Floats]:
    """Scores (S, T) of every arm, trained now or by an earlier attempt."""
    settings = config.utility
    device = pick_device(settings.device, "utility.device")
    shared = [FORMAT, data_digest, _shaping(config)]
    scores: dict[str, Floats] = {}
    with console.progress("utility", len(known) * settings.seeds) as advance:
        for arm in known:
            rows = []
            for seed in range(settings.seeds):
                path = folder / f"{arm.name}-{seed}-{digest([*shared, arm.name, _content(arm), seed])}.json"
                if _kept_scores(path, len(test)) is None:
                    fitted = train_and_score(arm, test, config, seed, device).tolist()
                    storage.write_bytes(str(path), json.dumps(fitted).encode())
                rows.append(_kept_scores(path, len(test)))
                advance(note=arm.name)
            scores[arm.name] = np.array(rows)
    return scores


def _kept_scores(path: Path, count: int) -> list[float] | None:
    """Scores that an earlier attempt left; None where there are none, or not one number for each test image."""
    try:
        content = codec.parsed(path.read_bytes(), str(path))
    except (FileNotFoundError, ValueError):
        return None
    numbers = content if isinstance(content, list) else []
    whole = len(numbers) == count and all(isinstance(number, float) for number in numbers)
    return numbers if whole else None


def _shaping(config: Config) -> list[object]:
    """Settings on which a training depends."""
    utility = asdict(config.utility)
    without = ("seeds", "shares", "specificity", "confidence", "device")
    train = {name: getattr(config.train, name) for name in ("flip", "rotation", "crop", "noise", "contrast")}
    weights = [config.model.frozen_weights, config.model.frozen_sha256]
    kept = {name: value for name, value in utility.items() if name not in without}
    return [kept, train, weights if config.utility.classifier == "densenet121" else []]


def _content(arm: Arm) -> list[str]:
    return [digest_of(images) for images in arm.classes]


def verdict(effects: Sequence[UtilityEffect], arms: Sequence[Arm]) -> tuple[Finding, str]:
    """What the AUC with all synthetic images says, in a sentence; a negative result is said as plainly."""
    shares = {arm.name: arm.share for arm in arms if arm.share}
    last = max((item for item in effects if item.metric == "auc" and item.arm in shares), key=lambda e: shares[e.arm])
    figures = f"AUC {last.value:+.3f} ({last.low:+.3f} to {last.high:+.3f}) against real images alone"
    lead = {
        Finding.BETTER: "The synthetic images help",
        Finding.WORSE: "The synthetic images harm",
        Finding.NO_DIFFERENCE: "Adding synthetic images made no significant difference",
    }[last.finding]
    return last.finding, f"{lead}: {figures}"


def _counted(arm: Arm) -> UtilityArm:
    benign, malignant = (len(images) for images in arm.classes)
    return UtilityArm(arm.name, arm.title, arm.share, benign, malignant, arm.synthetic)


def _write(result: Utility, out: Path) -> None:
    pictures = {"effects": curves.effects_figure(result), "curve": curves.curve_figure(result)}
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    page = findings.page("Utility", Findings(utility=result, pictures=pictures))
    storage.write_bytes(str(out / PAGE), page)
    results.write(result, out / FILE)
