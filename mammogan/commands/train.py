"""``train``: one trial without the graph, on one device or, under ``torchrun``, on several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammogan import codec, config
from mammogan.commands.options import Json, Preset, Settings, a_seed, overrides, print_json
from mammogan.data.cells import one_line

if TYPE_CHECKING:
    from mammogan.results import TrialResult

app = typer.Typer()


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="Data set of `ingest`; of two classes the one of data.minority.")],
    out: Annotated[Path, typer.Option(help="Folder for the snapshots, sample grids and history of the trial.")],
    gp_lambda: Annotated[
        float | None, typer.Option("--lambda", min=0, help="Gradient-penalty weight; none takes the preset's first.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(callback=a_seed, help="Training seed; none takes the preset's first.")
    ] = None,
    store: Annotated[
        str, typer.Option(help="Folder or s3:// address of the resumable state; none takes OUT.store.")
    ] = "",
    preset: Preset = "paper",
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Train one trial; run again, it continues or copies what is finished; exit status 1 where it fails."""
    from mammogan.data.minority import training_set
    from mammogan.results import TrialStatus
    from mammogan.training.ranks import init_distributed
    from mammogan.training.trial import train_trial

    chosen = config.override(config.resolve(preset), overrides(settings))
    first = chosen.trials[0]
    trial = config.Trial(first.gp_lambda if gp_lambda is None else gp_lambda, first.seed if seed is None else seed)
    learnt = training_set(data, chosen.data.minority)
    with init_distributed() as ranks:
        result = train_trial(
            learnt.images,
            chosen,
            trial,
            data_digest=learnt.data_digest,
            store=store or f"{out}.store",
            out=out,
            report=lambda _epoch, _metrics: None,
            report_grid=lambda _epoch, _path: None,
            validation=learnt.validation,
            ranks=ranks,
        )
    if ranks.is_main:
        if as_json:
            print_json(codec.encode(result))
        else:
            print(_line(result, out))
    if result.status is not TrialStatus.FINISHED:
        raise typer.Exit(1)


def _line(result: TrialResult, out: Path) -> str:
    after = f" ({result.reason})" if result.reason else ""
    told = f"{result.status} after {result.epochs_done} epochs on {result.device}{after}"
    return f"{out}: {one_line(told)}"  # of an earlier run's record in the store, where others may write
