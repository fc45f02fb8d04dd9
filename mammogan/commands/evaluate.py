"""``python -m mammogan evaluate``: the metrics of generated against real images."""

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
    fake: Annotated[str, typer.Option(help="Generated images: a folder, a snapshot .pt, or models:/NAME@ALIAS.")],
    count: Annotated[int, typer.Option(min=2, help="Images drawn from a snapshot or model.")] = EvaluateConfig.fakes,
    extractor: Extractor = "auto",
    extractor_weights: ExtractorWeights = "",
    lpips_weights: options.LpipsWeights = "",
    settings: options.Settings = None,
    as_json: options.Json = False,
) -> None:
    """Measure KID, FID, LPIPS, MS-SSIM, precision, recall, density and coverage, with floors and intervals."""
    from mammogan.evaluation import evaluate_images, read_reals

    shortcuts = {
        "evaluate.fakes": count,
        "evaluate.extractor": extractor,
        "evaluate.extractor_weights": extractor_weights,
        "evaluate.lpips_weights": lpips_weights,
    }
    config = override(Config(), options.overrides(settings, shortcuts)).evaluate
    result = {"real": str(real), "fake": fake, **evaluate_images(read_reals(real), _fakes(fake, config), config)}
    if as_json:
        options.print_json(result)
    else:
        _print_table(result)


def _fakes(source: str, config: EvaluateConfig) -> Tensor:
    """Generated images (N, 1, H, W), uint8, of a folder, a snapshot or a registered model."""
    import torch

    from mammogan.metrics.images import read_images

    if source.startswith("models:/"):
        from mammogan.registry.model import generate

        return torch.from_numpy(generate(source, config.fakes, config.seed))[:, None]
    if source.endswith(".pt"):
        from mammogan.models.generator import load_generator, sample

        return sample(load_generator(Path(source)), config.fakes, config.seed, config.batch_size)
    return read_images(Path(source))


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", "interval", "floor (real-real)", "N real", "N fake", "better")
    for record in result["records"]:
        ends = [record["low"], record["high"]]
        interval = "-" if None in ends else " to ".join(_short(end) for end in ends)
        counts = (str(record["n_real"] or "-"), str(record["n_fake"] or "-"))
        better = record["direction"].replace("_", " ")
        table.add_row(record["key"], _short(record["value"]), interval, _short(record["floor"]), *counts, better)
    console = Console()
    console.print(table)
    for item in result["omitted"]:
        console.print(f"left out: {item['key']}: {item['reason']}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
