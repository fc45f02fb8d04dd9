"""Keep the class that is to be synthesised."""

from kfp import dsl

from components import step


@step()
def filter_minority(
    preset: str,
    overrides: str,
    parent_id: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Output[dsl.Dataset],
) -> str:
    """Write the minority class as a data set of its own; return its digest."""
    from pathlib import Path

    from mammogan.data.minority import filter_minority

    from mammogan import config, tracking

    data = config.resolve(preset, overrides).data
    summary = filter_minority(Path(dataset.path), data.minority, Path(minority.path))
    tracking.log_dataset(parent_id, Path(minority.path), summary)
    return summary["data_digest"]
