"""Fill up the rare class with the registered generator's images."""

from kfp import dsl

from mammogan.components import step


@step()
def synthesise(
    preset: str,
    overrides: str,
    version: str,
    run: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Input[dsl.Dataset],
    winner: dsl.Input[dsl.Model],
    filled: dsl.Output[dsl.Dataset],
) -> None:
    """Write the data set filled up to balance; the model's version marks every synthetic image."""
    from pathlib import Path

    from mammogan.steps import StepContext, synthesise

    paths = [Path(item.path) for item in (dataset, minority, winner, filled)]
    synthesise.run(StepContext.of(preset, overrides, run), version, *paths)
