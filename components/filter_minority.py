"""Keep the class that is to be synthesised."""

from kfp import dsl

from components import step


@step()
def filter_minority(
    preset: str,
    overrides: str,
    run: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Output[dsl.Dataset],
) -> None:
    """Write the minority class as a data set of its own."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.data.minority import filter_minority

    data = config.resolve(preset, overrides).data
    summary = filter_minority(Path(dataset.path), data.minority, Path(minority.path))
    tracking.log_dataset(Path(run.path).read_text(), Path(minority.path), summary)
