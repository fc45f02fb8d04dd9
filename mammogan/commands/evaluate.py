"""``python -m mammogan evaluate``: the six metrics for two folders of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mammogan.config import Config, override

app = typer.Typer()


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="Folder of real images.")],
    fake: Annotated[Path, typer.Option(help="Folder of generated images of the same size.")],
    extractor: Annotated[str, typer.Option(help="Features of KID and FID: auto, inception or random.")] = "auto",
    lpips_weights: Annotated[str, typer.Option(help="File of the AlexNet LPIPS v0.1 weights.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Measure KID, FID, LPIPS and MS-SSIM of generated against real images, with floors and intervals."""
    from mammogan.evaluation import evaluate_folders

    settings = {"evaluate.extractor": extractor, "evaluate.lpips_weights": lpips_weights}
    result = evaluate_folders(real, fake, override(Config(), settings).evaluate)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _print_table(result)


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("metric", "value", "interval", "floor (real-real)", "N real", "N fake", "better")
    for record in result["records"]:
        ends = [record["low"], record["high"]]
        interval = "-" if None in ends else " to ".join(_short(end) for end in ends)
        better = {"lower": "lower", "near_floor": "near floor"}[record["direction"]]
        counts = (str(record["n_real"] or "-"), str(record["n_fake"] or "-"))
        table.add_row(record["key"], _short(record["value"]), interval, _short(record["floor"]), *counts, better)
    console = Console()
    console.print(table)
    for item in result["omitted"]:
        console.print(f"left out: {item['key']}: {item['reason']}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
