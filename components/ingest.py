"""Turn a CBIS-DDSM release into one data set folder."""

from kfp import dsl

from mammogan.components import step


@step()
def ingest(
    preset: str,
    overrides: str,
    run: str,
    source: str,
    labels: str,
    store: str,
    work: str,
    dataset: dsl.Output[dsl.Dataset],
) -> None:
    """Write the data set; images that an earlier run finished come from the store."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.data.ingest import ingest
    from mammogan.graph import Step

    data = config.resolve(preset, overrides).data
    parent_id = tracking.parent_of(run)
    with tracking.step(parent_id, Step.INGEST):
        kept = Path(work) if work else None  # a folder that outlives the step needs no copy in the store
        summary = ingest(source, labels, data, Path(dataset.path), kept, store="" if kept else store)
        tracking.set_tags(parent_id, {tracking.WHOLE_DIGEST: summary["data_digest"]})
