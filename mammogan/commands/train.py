"""``train``: one trial without the graph, on one device or, under ``torchrun``, on several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mammogan import config
from mammogan.commands.options import Json, Preset, Settings, overrides, print_json

app = typer.Typer()


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Data set of `ingest`; of two classes the one of data.minority.")],
    out: Annotated[Path, typer.Option(help="Folder for the snapshots, sample grids and history of the trial.")],
    gp_lambda: Annotated[
        float | None, typer.Option("--lambda", min=0, help="Gradient-penalty weight; none takes the preset's first.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Training seed; none takes the preset's first.")] = None,
    store: Annotated[
        str, typer.Option(help="Folder or s3:// address of the resumable state; none takes OUT.store.")
    ] = "",
    preset: Preset = "paper",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Train one trial; run again, it continues or copies what is finished; exit status 1 where it fails."""
    from mammogan.data.minority import training_set
    from mammogan.training.ranks import joined
    from mammogan.training.trial import train_trial

    chosen = config.override(config.resolve(preset), overrides(settings))
    first = chosen.trials[0]
    trial = config.Trial(first.gp_lambda if gp_lambda is None else gp_lambda, first.seed if seed is None else seed)
    images, patients, digest = training_set(data, chosen.data.minority)
    with joined() as ranks:
        record = train_trial(
            images,
            chosen,
            trial,
            data_digest=digest,
            store=store or f"{out}.store",
            out=out,
            report=lambda _epoch, _metrics: None,
            report_grid=lambda _epoch, _path: None,
            patients=patients,
            ranks=ranks,
        )
    if ranks.leads:
        if as_json:
            print_json(record)
        else:
            print(_line(record, out))
    if record["status"] != "finished":
        raise typer.Exit(1)


def _line(record: dict[str, Any], out: Path) -> str:
    after = f" ({record['reason']})" if record["reason"] else ""
    return f"{out}: {record['status']} after {record['epochs_done']} epochs on {record['device']}{after}"
