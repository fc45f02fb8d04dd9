"""Turn a CBIS-DDSM release into one data set folder."""

from __future__ import annotations

from pathlib import Path

from mammogan import storage, tracking
from mammogan.data import patients
from mammogan.data.ingest import ingest
from mammogan.data.patients import Patients
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, source: str, labels: str, store: str, work: str, dataset: Path) -> None:
    """Write the data set, with pseudonyms; images that an earlier run finished come from the store, or from ``work``.

    The patients' key lies in ``work`` where that outlives the step, else in the store: where the next run finds it.
    """
    with context.step(Step.INGEST, sees_names=True):
        kept = Path(work) if work else None  # a folder that outlives the step needs no copy in the store
        home = storage.join(work or store, patients.FOLDER) if work or store else _temporary_home(dataset)
        named = Patients.at(home)
        images = "" if kept else store
        summary = ingest(source, labels, context.settings.data, dataset, kept, store=images, patients=named)
        tracking.set_tags(context.parent_id, {tracking.WHOLE_DIGEST: summary.data_digest})


def _temporary_home(dataset: Path) -> str:
    """Where nothing outlives the step, neither does the key."""
    return str(dataset.parent / f".{dataset.name}.{patients.FOLDER}")
