"""Turn a CBIS-DDSM release into one data set folder."""

from __future__ import annotations

from pathlib import Path

from mammogan import tracking
from mammogan.data.ingest import ingest
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, source: str, labels: str, store: str, work: str, dataset: Path) -> None:
    """Write the data set; images that an earlier run finished come from the store, or from the folder ``work``."""
    with context.step(Step.INGEST):
        kept = Path(work) if work else None  # a folder that outlives the step needs no copy in the store
        summary = ingest(source, labels, context.settings.data, dataset, kept, store="" if kept else store)
        tracking.set_tags(context.parent_id, {tracking.WHOLE_DIGEST: summary.data_digest})
