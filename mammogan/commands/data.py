"""``plan``, ``ingest``, ``verify`` and ``card``: what a data set would hold, making it, checking and showing it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan import codec, config
from mammogan.commands.options import (
    Json,
    Labels,
    Patients,
    Preset,
    Settings,
    Source,
    Subset,
    overrides,
    print_json,
    shortcuts,
)

if TYPE_CHECKING:
    from mammogan.data.plan import Reading
    from mammogan.data.summary import Counts, Leak

logger = logging.getLogger(__name__)

app = typer.Typer()

Images = Annotated[str, typer.Option(help="full mammograms, or the crop around each abnormality: full, crop.")]


@app.command()
def plan(
    labels: Labels,
    preset: Preset = "paper",
    subset: Subset = "",
    images: Images = "",
    settings: Settings = None,
    rate: Annotated[float, typer.Option(min=0, help="MB/s for the time to read; 0 measures this machine's.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Count what a subset holds, how it splits and what is to be read; reads only the CSVs."""
    from mammogan.data.plan import plan as make_plan

    split_plan = make_plan(labels, data_config(preset, subset, images, settings), rate)
    if as_json:
        print_json(codec.encode(split_plan))
        return
    print(f"{split_plan.subset}: {_counts(split_plan)}; {split_plan.mixed_labels} images hold both labels")
    for unit, sides in split_plan.splits.items():
        if sides.train and sides.validation and sides.test and sides.leak:
            shown = _roles(sides.train, sides.validation, sides.test, sides.leak)
        else:
            shown = sides.reason
        print(f"  split by {unit}: {shown}")
    print(_reading(split_plan.reading))


@app.command()
def ingest(
    source: Source,
    out: Annotated[Path, typer.Option(help="Data set to write.")],
    labels: Labels = "",
    preset: Preset = "paper",
    subset: Subset = "",
    images: Images = "",
    settings: Settings = None,
    max_bad: Annotated[str, typer.Option(help="Share of bad images above which the step fails.")] = "",
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished images across attempts.")] = None,
    patients: Patients = "",
    workers: Annotated[int, typer.Option(min=0, help="Cores to use; 0 is all that suit the work.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a data set: 8-bit squares, a manifest, and a table of what could not be used."""
    from mammogan.data import patients as pseudonyms
    from mammogan.data.ingest import ingest as make

    settings = [*(settings or ()), *([f"data.max_bad={max_bad}"] if max_bad else ())]
    chosen = data_config(preset, subset, images, settings)
    named = pseudonyms.Patients.at(patients) if patients else None
    summary = make(source, labels, chosen, out, work, workers, patients=named)
    if as_json:
        print_json(codec.encode(summary))
        return
    sides = summary.splits
    print(f"{out}: {_counts(summary)}; {summary.quarantined} rows in quarantine.csv")
    print(f"  {_roles(sides.train, sides.validation, sides.test, sides.leak)}")
    if sides.given:
        print("  split as the manifest says")
    logger.info(f"data_digest {summary.data_digest}")


@app.command()
def verify(
    dataset: Annotated[Path, typer.Argument(help="Data set that ingest or the pipeline wrote.")], as_json: Json = False
) -> None:
    """Read a data set again: hashes, sizes, labels, leak, near duplicates; exit 1 with a list of what is wrong."""
    from mammogan.data.verify import verify as check

    findings = check(dataset)
    if as_json:
        print_json(
            {"dataset": str(dataset), "sound": not findings, "findings": [vars(finding) for finding in findings]}
        )
    else:
        for finding in findings:
            print(f"{finding.what}: {finding.problem}")
        print(f"{dataset}: {len(findings)} findings" if findings else f"{dataset}: sound")
    raise typer.Exit(1 if findings else 0)


@app.command()
def card(
    dataset: Annotated[Path, typer.Argument(help="Data set to show.")],
    out: Annotated[Path | None, typer.Option(help="Folder for card.html and card.png; the data set's own.")] = None,
) -> None:
    """Show a data set on a page: counts against the paper's, balance, grey values and a contact sheet per class."""
    from mammogan.reporting.data_card import write_card

    print(write_card(dataset, out or dataset))


def data_config(preset: str, subset: str, images: str, settings: list[str] | None) -> config.DataConfig:
    """Data settings of a preset with the options that abbreviate a setting and every ``--set KEY=VALUE`` applied.

    Raises ValueError as ``config.override`` does.
    """
    if preset not in config.PRESETS:
        raise ValueError(f"preset={preset!r}: choose one of {', '.join(config.PRESETS)}")
    given = shortcuts(subset=subset) | {"data.images": images}
    return config.override(config.PRESETS[preset], overrides(settings, given)).data


def _reading(reading: Reading | None) -> str:
    if reading is None:
        return "  to read: unknown, for there is no index of the Imaging Data Commons beside the CSVs"
    return (
        f"  to read: {reading.located} images located in IDC, {reading.gigabytes:.2f} GB, "
        f"about {reading.seconds / 60:.0f} min at {reading.rate_mb_s:.0f} MB/s ({reading.rate_source})"
    )


def _counts(side: Counts) -> str:
    return f"{side.images} images ({side.benign} benign, {side.malignant} malignant) of {side.patients} patients"


def _roles(train: Counts, validation: Counts, test: Counts, leak: Leak) -> str:
    """What a split came to; validation only where there is any."""
    watched = [f"validation {_counts(validation)}"] if validation.images else []
    parts = [f"train {_counts(train)}", *watched, f"test {_counts(test)}"]
    parts.append(f"{leak.patients} patients on both sides, with {leak.test_images} test images")
    if leak.validation_patients:
        parts.append(
            f"{leak.validation_patients} patients in train and validation, whose {leak.validation_images} validation "
            "images are not used"
        )
    if leak.chosen_by:
        parts.append(f"{leak.chosen_by} test images of validation patients are not used")
    return "; ".join(parts)
