"""The study: every arm in every block, each training kept as soon as it is done, then the comparison and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from mammogan import codec, console, results, storage
from mammogan.config import Config, digest
from mammogan.data.dataset import Dataset
from mammogan.device import pick_device
from mammogan.image_tensors import digest_of
from mammogan.records import Findings
from mammogan.reporting import findings
from mammogan.results import Direction, Utility, UtilityArm, UtilityCounts, UtilityMetric
from mammogan.statistics import Floats
from mammogan.training import augment
from mammogan.utility import curves, wording
from mammogan.utility.arms import Arm
from mammogan.utility.blocks import Block, Draw, Sources, SyntheticSets, block_of, sources_of, synthetic_sets
from mammogan.utility.calibration import calibration
from mammogan.utility.classifier import Fit, train_and_score
from mammogan.utility.comparison import AUC, compare, metrics
from mammogan.utility.decision import POWER, conclude
from mammogan.utility.subgroups import by_subgroup

FILE = "utility.json"
PAGE = "utility.html"
FITS = "fits"
FORMAT = 2
"""Raised when a training comes out otherwise than before, so that no kept one is mixed with new ones."""


def study(
    dataset: Path,
    config: Config,
    out: Path,
    *,
    fakes: Tensor | None = None,
    label: int | None = None,
    draw: Draw | None = None,
) -> Utility:
    """Train classifiers on a filled data set, or on any data set and ``fakes`` of class ``label``, and compare them.

    The test set is the real test images of patients who are not in train. Each of ``utility.seeds`` blocks trains every
    arm once, with its own seed and, by ``draw``, its own synthetic images; the first block has those of the data set,
    and without ``draw`` all have. Trainings end by the data set's validation patients; where it has none, by the
    block's own out of the train split. Each training's scores are kept below ``out/fits``; run again, only what is
    missing is trained. Writes ``utility.json``, its figures and ``utility.html`` below ``out`` and returns the first
    one. Raises NotEnoughDataError where a split lacks patients of a class, ValueError where there are no synthetic
    images.
    """
    whole = Dataset.read(dataset)
    sources = sources_of(whole)  # before anything is drawn: patients may be too few
    sets = synthetic_sets(whole, fakes, label, config.utility.seeds, draw)
    blocks = [block_of(sources, sets, number, config) for number in range(config.utility.seeds)]
    fits = _fits(blocks, sources.test_images, config, out / FITS, whole.digest)
    result = _result(blocks[0], fits, sources, sets, config)
    _write(result, out)
    return result


def _fits(
    blocks: Sequence[Block], test: Tensor, config: Config, folder: Path, data_digest: str
) -> dict[str, list[Fit]]:
    """Trainings of every arm, one a block, made now or by an earlier attempt."""
    device = pick_device(config.utility.device, "utility.device")
    shared = [FORMAT, data_digest, _shaping(config)]
    fits: dict[str, list[Fit]] = {arm.name: [] for arm in blocks[0].arms}
    with console.progress("utility", len(blocks) * len(fits), unit="classifiers") as advance:
        for block in blocks:
            for arm in block.arms:
                content = [digest_of(images) for images in (*arm.classes, *block.validation)]
                key = digest([*shared, arm.name, arm.natural, arm.augment, content, block.seed])
                path = folder / f"{arm.name}-{block.seed}-{key}.json"
                fit = _kept_fit(path, len(test))
                if fit is None:
                    fit = train_and_score(arm, block.validation, test, block.share, config, block.seed, device)
                    storage.write_bytes(str(path), codec.dumps(fit, FORMAT))
                fits[arm.name].append(fit)
                advance(note=arm.name)
    return fits


def _kept_fit(path: Path, count: int) -> Fit | None:
    """Training that an earlier attempt left; None where there is none, or one of other test images."""
    try:
        fit = codec.loads(Fit, path.read_bytes(), FORMAT, str(path))
    except (FileNotFoundError, ValueError):
        return None
    return fit if len(fit.scores) == count else None


def _shaping(config: Config) -> list[object]:
    """Settings on which a training depends."""
    utility = asdict(config.utility)
    without = ("seeds", "shares", "specificity", "confidence", "device", "validation_fraction")
    train = {name: getattr(config.train, name) for name in augment.SETTINGS}
    weights = [config.model.frozen_weights, config.model.frozen_sha256]
    kept = {name: value for name, value in utility.items() if name not in without}
    return [kept, train, weights if config.utility.classifier == "densenet121" else []]


def _result(first: Block, fits: dict[str, list[Fit]], sources: Sources, sets: SyntheticSets, config: Config) -> Utility:
    settings = config.utility
    scores: dict[str, Floats] = {name: np.array([fit.scores for fit in of_arm]) for name, of_arm in fits.items()}
    others = metrics(settings.specificity)
    measures, effects = compare(scores, first.arms, sources.test, others, settings.confidence)
    conclusion = conclude(scores, sources.test, settings.confidence)
    counts = _counts(sources, sets, first)
    summaries = tuple(_summary(arm, fits[arm.name]) for arm in first.arms)
    return Utility(
        finding=conclusion.finding,
        verdict=wording.sentence(conclusion, counts, summaries, settings.seeds),
        classifier=settings.classifier,
        seeds=settings.seeds,
        steps=settings.steps,
        metrics=(
            UtilityMetric(AUC, "AUC", Direction.HIGHER),
            *(UtilityMetric(metric.name, metric.title, metric.aim) for metric in others),
        ),
        arms=summaries,
        measures=tuple(measures),
        effects=tuple(effects),
        counts=counts,
        tests=conclusion.tests,
        calibrations=tuple(calibration(name, values, sources.test.labels) for name, values in scores.items()),
        power=POWER,
        smallest_effect=conclusion.smallest_effect,
        subgroups=by_subgroup(scores, sources.test, settings.confidence),
    )


def _counts(sources: Sources, sets: SyntheticSets, first: Block) -> UtilityCounts:
    test = sources.test
    return UtilityCounts(
        test=len(test.labels),
        test_patients=len(set(test.patients)),
        benign=int((test.labels == 0).sum()),
        benign_patients=test.patients_of(0),
        malignant=int((test.labels == 1).sum()),
        malignant_patients=test.patients_of(1),
        test_images_of_train_patients=sources.left_out,
        synthetic=len(sets.of(0)),
        synthetic_sets=len(sets.by_block),
        validation_role=sources.validation_role,
        validation=sum(len(images) for images in first.validation),
    )


def _summary(arm: Arm, fits: Sequence[Fit]) -> UtilityArm:
    return UtilityArm(
        name=arm.name,
        title=arm.title,
        control=arm.control,
        share=arm.share,
        benign=len(arm.classes[0]),
        malignant=len(arm.classes[1]),
        synthetic=arm.synthetic,
        steps=float(np.mean([fit.steps for fit in fits])),
        unfinished=sum(not fit.plateau for fit in fits),
    )


def _write(result: Utility, out: Path) -> None:
    pictures = {
        "effects": curves.effects_figure(result),
        "curve": curves.curve_figure(result),
        "calibration": curves.calibration_figure(result),
    }
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    page = findings.page("Utility", Findings(utility=result, pictures=pictures))
    storage.write_bytes(str(out / PAGE), page)
    results.write(result, out / FILE)
