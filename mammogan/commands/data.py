"""``plan`` and ``ingest``: what a data set would hold, and making it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mammogan import config, console

app = typer.Typer()

Labels = Annotated[str, typer.Option(help="Folder of the CBIS-DDSM case CSVs.")]
Preset = Annotated[str, typer.Option(help="Settings to start from: demo, paper or modern.")]
Subset = Annotated[str, typer.Option(help="Subsets joined by '+': calc-train, calc-test, mass-train, mass-test.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, such as data.split=patient; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def plan(
    labels: Labels, preset: Preset = "paper", subset: Subset = "", settings: Settings = None, as_json: Json = False
) -> None:
    """Count what a subset holds and how it splits; reads only the CSVs."""
    from mammogan.data.plan import plan as make_plan

    found = make_plan(labels, data_config(preset, subset, settings))
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['subset']}: {_counts(found)}; {found['mixed_labels']} images hold both labels")
    for unit, sides in found["splits"].items():
        if sides["train"] is None:
            print(f"  split by {unit}: {sides['reason']}")
            continue
        print(f"  split by {unit}: train {_counts(sides['train'])}; test {_counts(sides['test'])}; {_leak(sides)}")


@app.command()
def ingest(
    source: Annotated[str, typer.Option(help="Folder of images, or 'phantom'.")],
    out: Annotated[Path, typer.Option(help="Data set to write.")],
    labels: Annotated[str, typer.Option(help="Folder of the case CSVs; empty looks in the source.")] = "",
    preset: Preset = "paper",
    subset: Subset = "",
    settings: Settings = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished images across attempts.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is what suits the machine.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a data set: 8-bit squares, a manifest, and a table of what could not be used."""
    from mammogan.data.ingest import ingest as make

    summary = make(source, labels, data_config(preset, subset, settings), out, work, workers)
    if as_json:
        print(json.dumps(summary))
        return
    sides = summary["splits"]
    print(f"{out}: {_counts(summary)}; {summary['quarantined']} rows in quarantine.csv")
    print(f"  train {_counts(sides['train'])}; test {_counts(sides['test'])}; {_leak(sides)}")
    console.say(f"data_digest {summary['data_digest']}")


def data_config(preset: str, subset: str, settings: list[str] | None) -> config.DataConfig:
    """Data settings of a preset with ``--subset`` and every ``--set KEY=VALUE`` applied.

    Raises ValueError for a setting that is not written as KEY=VALUE, and as ``config.resolve`` does.
    """
    overrides: dict[str, Any] = {"data.subset": subset} if subset else {}
    for text in settings or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r}: write it as KEY=VALUE, such as data.size=224")
        overrides[key.strip()] = value
    return config.resolve(preset, json.dumps(overrides)).data


def _counts(side: dict[str, int]) -> str:
    return (
        f"{side['images']} images ({side['benign']} benign, {side['malignant']} malignant) "
        f"of {side['patients']} patients"
    )


def _leak(sides: dict[str, Any]) -> str:
    leak = sides["leak"]
    return f"{leak['patients']} patients on both sides, with {leak['test_images']} test images"
