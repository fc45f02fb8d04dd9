"""Train one trial of the fan-out."""

from kfp import dsl

from mammogan.components import step


@step()
def train(
    settings: str,
    trial: str,
    run: str,
    store: str,
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Output[dsl.Model],
) -> None:
    """Train the generator of one (lambda, seed); a trial that fails raises nothing."""
    from pathlib import Path

    from mammogan.steps import StepContext, train

    train.run(StepContext.of(settings, run), trial, store, Path(minority.path), Path(trained.path))
