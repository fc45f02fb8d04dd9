"""Command line of the library: ``python -m mammogan plan | ingest | train | evaluate | synthesise | ...``."""

import typer

from mammogan.commands import data, evaluate, options, probe, runs, synthetic, train

app = typer.Typer(cls=options.OneLineErrors, no_args_is_help=True, add_completion=False, help=__doc__)
for group in (data.app, train.app, evaluate.app, runs.app, synthetic.app, probe.app):
    app.add_typer(group)


if __name__ == "__main__":
    app(prog_name="python -m mammogan")
