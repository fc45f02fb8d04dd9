"""``synthesise``, ``audit`` and ``utility``: synthetic images for a data set, whether they copy, whether they help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan import codec, config
from mammogan.commands.options import (
    Class,
    Json,
    LpipsWeights,
    Preset,
    Settings,
    StoreUri,
    a_seed,
    label_of,
    overrides,
    print_json,
    shortcuts,
)
from mammogan.console import wrapped

if TYPE_CHECKING:
    from torch import Tensor

    from mammogan.synthesis import Model

app = typer.Typer()

NOT_CHECKED_STATUS = 3
"""Exit status of an audit that could not make a required check; 2 is that of a mistake in what was given."""

Fake = Annotated[str, typer.Option(help="Folder of synthetic images; none takes those that the data set holds.")]
Dataset = Annotated[Path, typer.Option(help="Data set with train and test split.")]


@app.command()
def synthesise(
    model: Annotated[str, typer.Option(help="Generator: models:/NAME@ALIAS, models:/NAME/VERSION or a snapshot .pt.")],
    out: Annotated[str, typer.Option(help="Data set to write: a folder or an s3:// address.")],
    dataset: Annotated[
        Path | None, typer.Option(help="Data set to fill up; none writes synthetic images alone.")
    ] = None,
    kind: Class = "malignant",
    count: Annotated[int | None, typer.Option(min=1, help="Images to make; none balances the classes.")] = None,
    ratio: Annotated[float | None, typer.Option(min=0, help="Rare images per common one once filled.")] = None,
    seed: Annotated[
        int | None, typer.Option(callback=a_seed, help="Seed; image i of a seed is always the same.")
    ] = None,
    dicom: Annotated[bool, typer.Option("--dicom", help="Also write DICOM Secondary Capture.")] = False,
    preset: Preset = "paper",
    settings: Settings = None,
    tracking_uri: StoreUri = "",
    as_json: Json = False,
) -> None:
    """Fill up the rare class of a data set with synthetic images; run again, it resumes."""
    from mammogan.data.dataset import Dataset
    from mammogan.synthesis import fill

    given = {"synthesise.count": count, "synthesise.ratio": ratio, "synthesise.seed": seed}
    given |= {"synthesise.dicom": True} if dicom else {}
    chosen = _config(preset, settings, given)
    generator, label = _model(model, tracking_uri), label_of(kind)
    summary = fill(generator, Dataset.read(dataset) if dataset else None, label, chosen, out)
    synthetic, train = summary.synthetic, summary.splits.train
    assert synthetic
    if as_json:
        print_json(codec.encode(summary))
        return
    print(f"{out}: {synthetic.images} synthetic {synthetic.class_} images of {synthetic.drawn} drawn")
    for reason, number in synthetic.dropped.items():
        print(f"  {number} left out: {reason}")
    print(f"  train: {train.benign} benign, {train.malignant} malignant")


@app.command()
def audit(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.html and their picture.")] = Path("audit"),
    fake: Fake = "",
    kind: Class = "malignant",
    critic: Annotated[
        Path | None, typer.Option(help="critic.pt of the trial that learnt from the data set's train split.")
    ] = None,
    lpips_weights: LpipsWeights = "",
    preset: Preset = "paper",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Check synthetic images for copies of training images.

    Exit status 1 where a check refuses them, 3 where a required one was not made.
    """
    from mammogan.audit import audit_dataset
    from mammogan.reporting.findings import copied_lines
    from mammogan.results import Outcome
    from mammogan.selection.gates import audit_summary

    chosen = _config(preset, settings, shortcuts(lpips_weights=lpips_weights))
    fakes = _images(fake)
    label = label_of(kind) if fakes is not None else None
    result = audit_dataset(dataset, chosen, out, fakes=fakes, label=label, critic=critic)
    if as_json:
        print_json(codec.encode(result))
    else:
        for verdict in result.verdicts:
            text = f"{verdict.gate}: {verdict.why}"
            print(*wrapped(text, first=f"{verdict.outcome.words:11}  ", rest=" " * 13), sep="\n")
        print(f"page: {out / 'audit.html'}")
        for line in copied_lines(result):
            print(line)
        print(audit_summary(result))
    if result.outcome is not Outcome.PASSED:
        raise typer.Exit(1 if result.outcome is Outcome.REFUSED else NOT_CHECKED_STATUS)


@app.command()
def utility(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder for utility.json, utility.html and figures.")] = Path("utility"),
    fake: Fake = "",
    model: Annotated[
        str, typer.Option(help="Generator of the synthetic images, as for synthesise; each block then has its own.")
    ] = "",
    kind: Class = "malignant",
    preset: Preset = "paper",
    settings: Settings = None,
    tracking_uri: StoreUri = "",
    as_json: Json = False,
) -> None:
    """Compare classifiers trained with and without synthetic images, on held-out patients."""
    from mammogan.numbers import estimate
    from mammogan.utility import drawn_by, study

    fakes, label, chosen = _images(fake), label_of(kind), _config(preset, settings, {})
    draw = None
    if model:
        generator = _model(model, tracking_uri)
        draw = drawn_by(lambda: generator, dataset, chosen, label)
    result = study(dataset, chosen, out, fakes=fakes, label=label if fakes is not None else None, draw=draw)
    if as_json:
        print_json(codec.encode(result))
        return
    print(*wrapped(result.verdict), sep="\n")
    for measure in result.measures:
        name = f"{measure.metric} {measure.arm}"
        print(f"  {name:32} {estimate(measure)}")
    print(f"page: {out / 'utility.html'}")


def _config(preset: str, settings: list[str] | None, given: Mapping[str, config.SettingValue | None]) -> config.Config:
    if preset not in config.PRESETS:
        raise ValueError(f"preset={preset!r}: choose one of {', '.join(config.PRESETS)}")
    base = config.override(config.PRESETS[preset], {"evaluate.extractor": "auto"})
    return config.override(base, overrides(settings, given))


def _model(address: str, tracking_uri: str) -> Model:
    """Generator of a snapshot's file or of a registered model, marked with the latter's name."""
    from mammogan.synthesis import load_model

    if not address.startswith("models:/"):
        return load_model(Path(address))
    from mammogan import registry

    return registry.generator_of(*registry.version_of(address, tracking_uri), tracking_uri)


def _images(fake: str) -> Tensor | None:
    from mammogan.data.image_folder import read_images

    return read_images(Path(fake)) if fake else None
