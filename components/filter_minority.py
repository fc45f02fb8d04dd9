"""Keep the class that is to be synthesised, and find out whether training on it can give anything new."""

from kfp import dsl

from mammogan.components import step


@step()
def filter_minority(
    settings: str,
    force: bool,
    run: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Output[dsl.Dataset],
) -> bool:
    """Write the minority class as a data set of its own; True to train on it, always by force."""
    from pathlib import Path

    from mammogan.steps import StepContext, filter_minority

    context = StepContext.of(settings, run)
    return filter_minority.run(context, Path(dataset.path), Path(minority.path), force=force)
