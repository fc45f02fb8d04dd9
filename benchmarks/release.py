r"""What a trained generator is worth on real crops: the set filled up, the audit and the utility study, in one table.

    python benchmarks/release.py FOLDER --work DIR --size 56
    mammogan train --data DIR/crops --out TRIAL --set data.minority=malignant --set data.size=56 ...
    python benchmarks/release.py FOLDER --work DIR --model TRIAL/snapshots/epoch_0100.pt --critic TRIAL/critic.pt \
        --lpips-weights FILE --out PAGE.md

The first prepares the crops, the second trains on them, the third measures. FOLDER holds crops and manifest.csv with
file, patient_id, pathology and subset. CBIS-DDSM's own split is taken, so the generator must have been trained on the
malignant images of Mass-Training and on no others. Two sets are made: one that balances the classes, and one with as
many synthetic malignant images as real ones. Run again it goes on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammogan import codec, config, storage
from mammogan.audit import audit_dataset
from mammogan.data import summary
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import ingest
from mammogan.data.summary import Counts
from mammogan.numbers import estimate
from mammogan.results import Audit, Outcome, Utility
from mammogan.selection.gates import audit_summary
from mammogan.synthesis import Model, fill, load_model
from mammogan.utility import study

MALIGNANT = 1
FORMAT = 1
"""Of ``measured.json``."""


@dataclass(frozen=True)
class FilledSet:
    """What was measured of one filled data set."""

    images: int
    """Synthetic images in it."""
    audit: Audit
    utility: Utility


@dataclass(frozen=True)
class Release:
    """Both filled data sets, and the real images that they were made from."""

    train: Counts
    test: Counts
    balanced: FilledSet
    """Synthetic images balance the classes."""
    as_many: FilledSet
    """As many synthetic malignant images as real ones."""


def settings(arguments: argparse.Namespace, size: int) -> config.Config:
    """Crops of the generator's size, CBIS-DDSM's own split, random VGG features, LPIPS by its real weights."""
    given: dict[str, Any] = {
        "data.size": size,
        "data.split": "official",
        "evaluate.extractor": "random",
        "evaluate.lpips_weights": str(arguments.lpips_weights or ""),
        "model.frozen_weights": "random",
        "model.frozen_sha256": "",
        "utility.seeds": arguments.seeds,
        "utility.steps": arguments.steps,
    }
    return config.override(config.PRESETS["paper"], given)


def prepared(arguments: argparse.Namespace, size: int) -> tuple[Path, config.Config]:
    """Data set of the crops, made where it is not there yet, and the settings.

    Raises ValueError for one that was made at another size.
    """
    chosen, dataset = settings(arguments, size), arguments.work / "crops"
    if not (dataset / "summary.json").is_file():
        ingest(str(arguments.folder), "", chosen.data, dataset)
    used = summary.read(dataset).whole.settings
    if not used or used.size != size:
        side = used.size if used else "unknown"
        raise ValueError(f"--work={str(arguments.work)!r}: its crops have {side} px, not {size}; give another folder")
    return dataset, chosen


def release(arguments: argparse.Namespace) -> Release:
    """Make, audit and study both sets."""
    model, work = load_model(arguments.model, "crops"), arguments.work
    dataset, chosen = prepared(arguments, model.generator.size)
    splits = summary.read(dataset).whole.splits
    crops = Dataset.read(dataset)
    as_many = config.override(chosen, {"synthesise.count": splits.train.malignant})
    return Release(
        splits.train,
        splits.test,
        balanced=_filled(model, crops, chosen, work / "balanced", arguments.critic),
        as_many=_filled(model, crops, as_many, work / "as_many", arguments.critic),
    )


def _filled(model: Model, dataset: Dataset, chosen: config.Config, folder: Path, critic: Path | None) -> FilledSet:
    filled = fill(model, dataset, MALIGNANT, chosen, str(folder)).synthetic
    assert filled
    audit = audit_dataset(folder, chosen, folder.with_name(f"{folder.name}_audit"), critic=critic)
    utility = study(folder, chosen, folder.with_name(f"{folder.name}_utility"))
    return FilledSet(filled.images, audit, utility)


def page(measured: Release, about: str) -> str:
    """Markdown: what was asked, then both sets."""
    lines = ["# A generator's images on real crops", "", about, "", *_counts(measured)]
    lines += [*_set("Balanced", measured.balanced), *_set("As many", measured.as_many)]
    return "\n".join(lines) + "\n"


def _counts(measured: Release) -> Iterator[str]:
    for side, counts in (("train", measured.train), ("test", measured.test)):
        yield f"- {side}: {counts.benign} benign and {counts.malignant} malignant crops of {counts.patients} patients"


def _set(title: str, item: FilledSet) -> Iterator[str]:
    audit = item.audit
    yield from ("", f"## {title}: {item.images} synthetic images", "")
    answer = "refuses them" if audit.outcome is Outcome.REFUSED else "refuses nothing"
    yield f"The audit {answer}: {audit_summary(audit)}."
    yield from ("", "| gate | answer | why |", "|---|---|---|")
    yield from (f"| {verdict.gate} | {verdict.outcome.words} | {verdict.why} |" for verdict in audit.verdicts)
    yield from _utility(item.utility)


def _utility(utility: Utility) -> Iterator[str]:
    yield from ("", f"{utility.verdict}.", "")
    yield f"{utility.classifier}, {utility.seeds} seeds, {utility.steps} steps; mean and 95% interval."
    titles = [metric.title for metric in utility.metrics]
    yield from ("", f"| trained on | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|")
    by_key = {(measure.arm, measure.metric): measure for measure in utility.measures}
    for arm in utility.arms:
        measures = [by_key[arm.name, metric.name] for metric in utility.metrics]
        cells = [estimate(measure) for measure in measures]
        yield f"| {arm.title} | {' | '.join(cells)} |"


def main() -> None:
    """Make, audit and study both sets; write the page and the pictures that show no patient's image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=56, help="pixels, of the prepared crops")
    parser.add_argument("--model", type=Path, help="snapshot; without one the crops are prepared and nothing else")
    parser.add_argument("--critic", type=Path, help="critic.pt of the snapshot's trial")
    parser.add_argument("--about", default="", help="how the generator was trained, for the page's first paragraph")
    parser.add_argument("--lpips-weights", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of each classifier")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--images", type=Path, help="folder for the figure of the effects")
    arguments = parser.parse_args()
    if arguments.model is None:
        prepared(arguments, arguments.size)
        return
    measured = release(arguments)
    storage.write_bytes(str(arguments.work / "measured.json"), codec.dumps(measured, FORMAT))
    if arguments.out:
        storage.write_bytes(str(arguments.out), page(measured, arguments.about).encode())
    if arguments.images:
        effects = arguments.work / "as_many_utility" / "effects.png"
        shutil.copyfile(effects, arguments.images / "utility_effects.png")


if __name__ == "__main__":
    main()
