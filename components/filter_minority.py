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

    from mammogan import config, tracking
    from mammogan.data.minority import filter_minority
    from mammogan.graph import Step

    data = config.resolve(preset, overrides).data
    parent_id = tracking.parent_of(run)
    with tracking.step(parent_id, Step.FILTER_MINORITY):
        summary = filter_minority(Path(dataset.path), data.minority, Path(minority.path))
        tracking.log_dataset(parent_id, Path(minority.path), summary)
