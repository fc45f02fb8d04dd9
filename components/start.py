"""Open the run in MLflow before anything else."""

from kfp import dsl

from mammogan.components import step


@step()
def start(settings: str, run: str, experiment: str, source: str, link: dsl.Output[dsl.Markdown]) -> None:
    """Find or open the parent run, under whose record every later step writes; end earlier runs that nobody closed.

    ``link`` opens the run in MLflow from here on.
    """
    from pathlib import Path

    from mammogan.steps import start

    start.run(settings, run, experiment, source, Path(link.path))
