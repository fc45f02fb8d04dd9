"""Turn a CBIS-DDSM release into one data set folder."""

from kfp import dsl

from components import step


@step()
def ingest(preset: str, overrides: str, source: str, labels: str, work: str, dataset: dsl.Output[dsl.Dataset]) -> str:
    """Write the data set; return its digest, by which later steps are cached."""
    from pathlib import Path

    from mammogan import config
    from mammogan.data.ingest import ingest

    data = config.resolve(preset, overrides).data
    return ingest(source, labels, data, Path(dataset.path), Path(work) if work else None)["data_digest"]
