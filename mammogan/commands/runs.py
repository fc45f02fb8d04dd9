"""Commands on what an experiment left in MLflow: images of a registered model, the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mammogan.console import progress, say

app = typer.Typer()

TrackingUri = Annotated[str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow server or sqlite:/// file.")]


@app.command()
def generate(
    model: Annotated[str, typer.Option(help="Registered model: models:/NAME@ALIAS or models:/NAME/VERSION.")],
    out: Annotated[Path, typer.Option(help="Folder for the PNGs, made if it is missing.")],
    count: Annotated[int, typer.Option(min=1, help="Images to make.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latents; image i of a seed is always the same.")] = 0,
    truncation: Annotated[float, typer.Option(help="Latents are multiplied by this, above 0 and up to 1.")] = 1.0,
    tracking_uri: TrackingUri = "",
) -> None:
    """Write COUNT synthetic images as PNGs."""
    from mammogan import registry, storage
    from mammogan.serving import png_bytes

    pictures = registry.generate(model, count, seed, truncation, tracking_uri)
    with progress("generate", count) as advance:
        for index, picture in enumerate(pictures):
            storage.write_bytes(str(out / f"seed{seed}_{index:06d}.png"), png_bytes(picture))
            advance()
    say(f"{count} images of {model} in {out}")


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Run id of a pipeline run in MLflow.")],
    out: Annotated[Path, typer.Option(help="Folder for the page and its pictures.")] = Path("report"),
    tracking_uri: TrackingUri = "",
) -> None:
    """Build the report of a run again, from MLflow alone."""
    from mammogan import report as reporting
    from mammogan import tracking

    page = reporting.build(tracking.read_run(run, tracking_uri), out)
    say(f"report: {page}")
