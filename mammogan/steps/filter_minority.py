"""Keep the class that is to be synthesised, and find out whether training on it can give anything new."""

from __future__ import annotations

from pathlib import Path

from mammogan import registry, tracking
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, dataset: Path, minority: Path, *, force: bool) -> bool:
    """Write the minority class as a data set of its own, and log it as the run's input; True to train on it.

    There is nothing to train where data, code and settings are those of an earlier run, unless by force. Raises
    ValueError where trials could not be trained on it, before one is started, and as ``filter_minority`` does.
    """
    with context.step(Step.FILTER_MINORITY) as progress:
        summary = filter_minority(dataset, context.settings.data.minority, minority)
        context.settings.train.require_validation(len(Dataset.read(minority).held_out_validation))
        tracking.log_dataset(context.parent_id, minority, summary)
        progress.goes_on = registry.check_changes(context.parent_id, context.settings.select.model_name, force=force)
    return progress.goes_on
