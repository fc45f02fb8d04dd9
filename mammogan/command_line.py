"""The command ``mammogan``: every subcommand, from the modules of ``mammogan.commands``.

Quick to start: kfp, MLflow and PyTorch are imported by the commands that need them.
"""

import sys

import typer

from mammogan import utf8
from mammogan.commands import (
    data,
    evaluate,
    graph,
    kubeflow,
    options,
    output,
    probe,
    purge,
    reader_study,
    runs,
    settings,
    synthetic,
    train,
)

PANELS = {
    "Experiment": (graph.app, settings.app),
    "Cluster": (kubeflow.app, probe.app),
    "Data": (data.app, purge.app),
    "Trials and metrics": (train.app, evaluate.app),
    "Synthetic images": (synthetic.app, reader_study.app),
    "Runs and models in MLflow": (runs.app,),
}
"""Headings of ``--help`` and the commands below each."""

app = typer.Typer(
    cls=options.OneLineErrors, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
for panel, groups in PANELS.items():
    for group in groups:
        for command in group.registered_commands:
            command.rich_help_panel = panel
        app.add_typer(group)


@app.callback()
def main(_version: options.Version = False) -> None:
    """Synthetic mammograms of the rare class: run the experiment here or on Kubeflow, and work with what it leaves."""


def start() -> None:
    """What the script ``mammogan`` does."""
    utf8.require()
    out = output.Output()
    try:
        app()
    except SystemExit as end:
        sys.exit(out.status(end.code) if isinstance(end.code, int) else end.code)
