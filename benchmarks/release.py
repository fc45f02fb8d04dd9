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
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mammogan import config, storage
from mammogan.audit import audit_dataset
from mammogan.data.ingest import ingest, read_summary
from mammogan.reporting.findings import interval, short
from mammogan.selection.gates import NOT_CHECKED, answer, tally
from mammogan.synthesis import fill, load_model
from mammogan.utility import study

MALIGNANT = 1


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
    made = read_summary(dataset)["settings"]["size"]
    if made != size:
        raise ValueError(f"--work={str(arguments.work)!r}: its crops have {made} px, not {size}; give another folder")
    return dataset, chosen


def release(arguments: argparse.Namespace) -> dict[str, Any]:
    """Summaries of both sets with their audits and studies, by the set's name."""
    model, work = load_model(arguments.model, "crops"), arguments.work
    dataset, chosen = prepared(arguments, model.generator.size)
    train = read_summary(dataset)["splits"]["train"]
    as_many = config.override(chosen, {"synthesise.count": train["malignant"]})
    found: dict[str, Any] = {"train": train, "test": read_summary(dataset)["splits"]["test"]}
    for name, made in (("balanced", chosen), ("as many", as_many)):
        folder = work / name.replace(" ", "_")
        summary = fill(model, dataset, MALIGNANT, made, str(folder))
        audit = audit_dataset(folder, made, work / f"{folder.name}_audit", critic=arguments.critic)
        found[name] = {"images": summary["synthetic"]["images"], "audit": audit}
        found[name]["utility"] = study(folder, made, work / f"{folder.name}_utility")
    return found


def page(found: dict[str, Any], about: str) -> str:
    """Markdown: what was asked, then both sets."""
    return "\n".join(["# A generator's images on real crops", "", about, *_counts(found), *_sets(found)]) + "\n"


def _counts(found: dict[str, Any]) -> Iterator[str]:
    yield ""
    for side in ("train", "test"):
        counts = found[side]
        yield (
            f"- {side}: {counts['benign']} benign and {counts['malignant']} malignant crops "
            f"of {counts['patients']} patients"
        )


def _sets(found: dict[str, Any]) -> Iterator[str]:
    for name in ("balanced", "as many"):
        item = found[name]
        yield from ("", f"## {name.capitalize()}: {item['images']} synthetic images", "")
        audit, utility = item["audit"], item["utility"]
        yield f"The audit {'refuses nothing' if audit['passed'] else 'refuses them'}: {tally(audit['verdicts'])}."
        yield from ("", "| gate | answer | why |", "|---|---|---|")
        for gate in audit["verdicts"]:
            yield f"| {gate['gate']} | {answer(gate)} | {gate['why'].removeprefix(f'{NOT_CHECKED}: ')} |"
        yield from ("", f"{utility['verdict']}.", "")
        yield f"{utility['classifier']}, {utility['seeds']} seeds, {utility['steps']} steps; mean and 95% interval."
        keys = [metric["name"] for metric in utility["metrics"]]
        titles = [metric["title"] for metric in utility["metrics"]]
        yield from ("", f"| trained on | {' | '.join(titles)} |", "|---" * (len(keys) + 1) + "|")
        by_key = {(record["arm"], record["metric"]): record for record in utility["records"]}
        for arm in utility["arms"]:
            cells = [by_key[arm["name"], key] for key in keys]
            told = [f"{short(cell['value'])} ({interval(cell)})" for cell in cells]
            yield f"| {arm['title']} | {' | '.join(told)} |"


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
    found = release(arguments)
    storage.write_bytes(str(arguments.work / "found.json"), json.dumps(found).encode())
    if arguments.out:
        storage.write_bytes(str(arguments.out), page(found, arguments.about).encode())
    if arguments.images:
        effects = arguments.work / "as_many_utility" / "effects.png"
        shutil.copyfile(effects, arguments.images / "utility_effects.png")


if __name__ == "__main__":
    main()
