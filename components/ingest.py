"""Turn a CBIS-DDSM release into one data set folder."""

from kfp import dsl

from mammogan.components import step


@step()
def ingest(
    settings: str,
    run: str,
    source: str,
    labels: str,
    store: str,
    work: str,
    dataset: dsl.Output[dsl.Dataset],
) -> None:
    """Write the data set; images that an earlier run finished come from the store."""
    from pathlib import Path

    from mammogan.steps import StepContext, ingest

    ingest.run(StepContext.of(settings, run), source, labels, store, work, Path(dataset.path))
