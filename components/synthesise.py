"""Fill up the rare class with the registered generator's images."""

from kfp import dsl

from mammogan.components import step


@step()
def synthesise(
    settings: str,
    version: str,
    run: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Input[dsl.Dataset],
    chosen: dsl.Input[dsl.Model],
    filled: dsl.Output[dsl.Dataset],
) -> None:
    """Write the data set filled up to balance; the model's version marks every synthetic image."""
    from pathlib import Path

    from mammogan.steps import Chosen, StepContext, synthesise

    paths = Path(dataset.path), Path(minority.path), Chosen(Path(chosen.path)).winner, Path(filled.path)
    synthesise.run(StepContext.of(settings, run), version, *paths)
