"""``evaluate``: the metrics of generated against real images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mammogan.commands import options
from mammogan.config import EXTRACTORS, Config, EvaluateConfig, override

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer()

Extractor = Annotated[str, typer.Option(help=f"Features: {', '.join(EXTRACTORS)}, or a .torchscript or .onnx file.")]
ExtractorWeights = Annotated[str, typer.Option(help="File of the Inception or RadImageNet weights.")]


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="Real images: a folder, or a data set with its two splits.")],
    fake: Annotated[
        str, typer.Option(help="Generated images: a folder, a filled data set, a snapshot .pt, or models:/NAME@ALIAS.")
    ],
    kind: options.Class = "",
    count: Annotated[int, typer.Option(min=2, help="Images drawn from a snapshot or model.")] = EvaluateConfig.fakes,
    extractor: Extractor = "auto",
    extractor_weights: ExtractorWeights = "",
    lpips_weights: options.LpipsWeights = "",
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Measure KID, FID, LPIPS, MS-SSIM, precision, recall, density and coverage, with references and intervals.

    Of a data set --real takes the real images and --fake the synthetic ones, of both classes unless --class names one;
    a snapshot or model, which knows one class, is compared with the rarer class of the train split.
    """
    from mammogan.evaluation.snapshots import evaluate_images, read_reals

    shortcuts = {
        "evaluate.fakes": count,
        "evaluate.extractor": extractor,
        "evaluate.extractor_weights": extractor_weights,
        "evaluate.lpips_weights": lpips_weights,
    }
    config = override(Config(), options.overrides(settings, shortcuts)).evaluate
    label = _label(real, fake, kind)
    reals, fakes = read_reals(real, label), _fakes(fake, label, config)
    compared = {"real": str(real), "fake": fake, "classes": _classes(real, fake, label)}
    result = {**compared, **evaluate_images(reals, fakes, config)}
    if as_json:
        options.print_json(result)
    else:
        _print_table(result)


def _is_drawn(fake: str) -> bool:
    return fake.startswith("models:/") or fake.endswith(".pt")


def _label(real: Path, fake: str, kind: str) -> int | None:
    """Label to which data sets are restricted: that of ``--class``, or the one that a generator has learnt."""
    from mammogan.evaluation.snapshots import class_learnt, is_dataset

    if kind and not (is_dataset(real) or (not _is_drawn(fake) and is_dataset(Path(fake)))):
        raise ValueError(f"--class={kind!r}: neither --real nor --fake is a data set with classes; leave it out")
    if kind:
        return options.label_of(kind)
    return class_learnt(real) if _is_drawn(fake) and is_dataset(real) else None


def _classes(real: Path, fake: str, label: int | None) -> dict[str, list[str] | None]:
    """Names of the classes on either side; None where no manifest tells them."""
    from mammogan.evaluation.snapshots import classes_in, is_dataset

    has_fakes = not _is_drawn(fake) and is_dataset(Path(fake))
    return {
        "real": classes_in(real, label, synthetic=False) if is_dataset(real) else None,
        "fake": classes_in(Path(fake), label, synthetic=True) if has_fakes else None,
    }


def _fakes(source: str, label: int | None, config: EvaluateConfig) -> Tensor:
    """Generated images (N, 1, H, W), uint8, of a folder, a data set, a snapshot or a registered model."""
    import torch

    from mammogan.evaluation.snapshots import read_fakes

    if source.startswith("models:/"):
        from mammogan.registry.model import generate

        return torch.from_numpy(generate(source, config.fakes, config.seed))[:, None]
    if source.endswith(".pt"):
        from mammogan.models.generator import load_generator, sample

        return sample(load_generator(Path(source)), config.fakes, config.seed, config.batch_size)
    return read_fakes(Path(source), label)


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", "interval", "reference (real-real)", "N real", "N fake", "better")
    for record in result["records"]:
        ends = [record["low"], record["high"]]
        interval = "-" if None in ends else " to ".join(_short(end) for end in ends)
        counts = (str(record["n_real"] or "-"), str(record["n_fake"] or "-"))
        better = record["direction"].replace("_", " ")
        table.add_row(record["key"], _short(record["value"]), interval, _short(record["reference"]), *counts, better)
    console = Console()
    for side, classes in result["classes"].items():
        if classes is not None:
            console.print(f"{side}: {' and '.join(classes)}")
    console.print(table)
    for item in result["omitted"]:
        console.print(f"left out: {item['key']}: {item['reason']}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
