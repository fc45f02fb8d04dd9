"""Keep the class that is to be synthesised."""

from __future__ import annotations

from pathlib import Path

from mammogan import tracking
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, dataset: Path, minority: Path) -> None:
    """Write the minority class as a data set of its own, and log it as the run's input.

    Raises ValueError where trials could not be trained on it, before one is started, and as ``filter_minority`` does.
    """
    with context.step(Step.FILTER_MINORITY):
        summary = filter_minority(dataset, context.settings.data.minority, minority)
        context.settings.train.require_validation(len(Dataset.read(minority).held_out_validation))
        tracking.log_dataset(context.parent_id, minority, summary)
