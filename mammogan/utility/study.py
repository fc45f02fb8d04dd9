"""The study: every arm with every seed, each kept as soon as it is trained, then the comparison and its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mammogan import console, storage
from mammogan.config import Config, digest
from mammogan.data import manifest
from mammogan.errors import NotEnoughDataError
from mammogan.reporting import findings
from mammogan.statistics import Floats
from mammogan.synthesis.rows import read_rows
from mammogan.utility import curves
from mammogan.utility.arms import Arm, Pool, arms
from mammogan.utility.classifier import train_and_score
from mammogan.utility.comparison import Metric, Test, compare, metrics

if TYPE_CHECKING:
    import pandas as pd

FILE = "utility.json"
PAGE = "utility.html"
FITS = "fits"
FORMAT = 1
"""Raised when a training comes out otherwise than before, so that no kept one is mixed with new ones."""


def study(
    dataset: Path, config: Config, out: Path, *, fakes: Tensor | None = None, label: int | None = None
) -> dict[str, Any]:
    """Train classifiers on a filled data set, or on any data set and ``fakes`` of class ``label``, and compare them.

    The test set is the real test images of patients who are not in train. Each training's scores are kept below
    ``out/fits``; run again, only what is missing is trained. Writes ``utility.json``, its figures and
    ``utility.html`` below ``out`` and returns the first one's content. Raises NotEnoughDataError where train or test
    lacks patients of a class, ValueError where there are no synthetic images.
    """
    frame = manifest.read(dataset)
    pool, test, images, left_out = _sets(dataset, frame, fakes, label)
    known = arms(pool, config.utility.shares)
    scores = _scores(known, images, config, out / FITS, manifest.data_digest(frame))
    chosen = metrics(config.utility.specificity)
    records, effects = compare(scores, test, chosen, config.utility.confidence)
    result = {
        "verdict": verdict(effects),
        "classifier": config.utility.classifier,
        "seeds": config.utility.seeds,
        "steps": config.utility.steps,
        "metrics": [_described(metric) for metric in chosen],
        "arms": [_counted(arm) for arm in known],
        "records": records,
        "effects": effects,
        "counts": {
            "test": len(images),
            "test_patients": len(set(test.patients)),
            "test_images_of_train_patients": left_out,
            "synthetic": len(pool.synthetic),
        },
    }
    _write(result, out)
    return result


def _sets(
    dataset: Path, frame: pd.DataFrame, fakes: Tensor | None, label: int | None
) -> tuple[Pool, Test, Tensor, int]:
    """Training pool, test labels and patients, test images, and how many test images of train patients are left out."""
    train = manifest.select(frame, split="train", synthetic=False)
    test = manifest.select(frame, split="test", synthetic=False)
    made = manifest.select(frame, synthetic=True)
    if fakes is None:
        if made.empty:
            raise ValueError(f"dataset={str(dataset)!r}: it holds no synthetic images; fill it with synthesise")
        fakes, label = read_rows(dataset, made), int(made["label"].iloc[0])
    assert label is not None, "images from outside come with their class"
    unseen = test[~test["patient_id"].isin(train["patient_id"])]
    for name, side, least in (("train", train, 1), ("test", unseen, 2)):
        for number, kind in enumerate(manifest.CLASSES):
            patients = side.loc[side["label"] == number, "patient_id"].nunique()
            if patients < least:
                raise NotEnoughDataError(
                    f"dataset={str(dataset)!r}: {patients} {kind} patients in {name}; the study needs {least} or more"
                )
    real = [read_rows(dataset, train[train["label"] == number]) for number in (0, 1)]
    labels = unseen["label"].to_numpy(copy=True)
    facts = Test(labels, unseen["patient_id"].tolist())
    return Pool((real[0], real[1]), fakes, label), facts, read_rows(dataset, unseen), len(test) - len(unseen)


def _scores(known: Sequence[Arm], test: Tensor, config: Config, folder: Path, data_digest: str) -> dict[str, Floats]:
    """Scores (S, T) of every arm, trained now or by an earlier attempt."""
    settings = config.utility
    device = torch.device(
        settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    )
    shared = [FORMAT, data_digest, _shaping(config)]
    scores: dict[str, Floats] = {}
    with console.progress("utility", len(known) * settings.seeds) as advance:
        for arm in known:
            rows = []
            for seed in range(settings.seeds):
                path = folder / f"{arm.name}-{seed}-{digest([*shared, arm.name, _content(arm), seed])}.json"
                if not path.is_file():
                    fitted = train_and_score(arm, test, config, seed, device).tolist()
                    storage.write_bytes(str(path), json.dumps(fitted).encode())
                rows.append(json.loads(path.read_text()))
                advance(note=arm.name)
            scores[arm.name] = np.array(rows)
    return scores


def _shaping(config: Config) -> list[object]:
    """Settings on which a training depends."""
    utility = asdict(config.utility)
    without = ("seeds", "shares", "specificity", "confidence", "device")
    train = {name: getattr(config.train, name) for name in ("flip", "rotation", "crop", "noise", "contrast")}
    weights = [config.model.frozen_weights, config.model.frozen_sha256]
    kept = {name: value for name, value in utility.items() if name not in without}
    return [kept, train, weights if config.utility.classifier == "densenet121" else []]


def _content(arm: Arm) -> list[str]:
    from mammogan.data.image_folder import digest_of

    return [digest_of(images) for images in arm.classes]


def verdict(effects: Sequence[Mapping[str, Any]]) -> str:
    """What the AUC with all synthetic images says, in a sentence; a negative result is said as plainly."""
    shares = [effect for effect in effects if effect["metric"] == "auc" and effect["arm"].startswith("synthetic_")]
    plain = [effect for effect in shares if effect["arm"] != "synthetic_augmented"]
    last = max(plain, key=lambda effect: float(effect["arm"].removeprefix("synthetic_")))
    told = f"AUC {last['value']:+.3f} ({last['low']:+.3f} to {last['high']:+.3f}) against real images alone"
    return {
        "better": f"The synthetic images help: {told}",
        "worse": f"The synthetic images harm: {told}",
        "no significant difference": f"No significant difference is shown by the synthetic images: {told}",
    }[last["finding"]]


def _described(metric: Metric) -> dict[str, str]:
    return {"name": metric.name, "title": metric.title, "aim": metric.aim}


def _counted(arm: Arm) -> dict[str, Any]:
    benign, malignant = (len(images) for images in arm.classes)
    told = {"name": arm.name, "title": arm.title, "share": arm.share}
    return {**told, "benign": benign, "malignant": malignant, "synthetic": arm.synthetic}


def _write(result: Mapping[str, Any], out: Path) -> None:
    pictures = {"effects": curves.effects_figure(result), "curve": curves.curve_figure(result)}
    for name, content in pictures.items():
        storage.write_bytes(str(out / f"{name}.png"), content)
    page = findings.page("Utility", findings.Findings(utility=result, pictures=pictures))
    storage.write_bytes(str(out / PAGE), page)
    storage.write_bytes(str(out / FILE), (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
