"""Open the run in MLflow before anything else."""

from mammogan.components import step


@step()
def start(preset: str, overrides: str, run: str, experiment: str, source: str) -> None:
    """Find or open the parent run, under whose record every later step writes; end earlier runs that nobody closed."""
    from mammogan.steps import start

    start.run(preset, overrides, run, experiment, source)
