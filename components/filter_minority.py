"""Keep the class that is to be synthesised."""

from kfp import dsl

from mammogan.components import step


@step()
def filter_minority(
    preset: str,
    overrides: str,
    run: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Output[dsl.Dataset],
) -> None:
    """Write the minority class as a data set of its own."""
    from pathlib import Path

    from mammogan.steps import StepContext, filter_minority

    filter_minority.run(StepContext.of(preset, overrides, run), Path(dataset.path), Path(minority.path))
