"""Measure every snapshot of one trial."""

from __future__ import annotations

from pathlib import Path

from mammogan import results
from mammogan.config import Trial
from mammogan.evaluation.snapshots import evaluate_or_fail
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, trial: str, store: str, minority: Path, trained: Path, out: Path) -> dict[str, float]:
    """Write the metrics of each snapshot; return those of the last one by key, never raise for a failed trial."""
    with context.trial_log(Trial.parse(trial), Step.EVALUATE) as log:
        settings = context.settings.evaluate
        result = evaluate_or_fail(trained, minority, settings, out, log.metrics, store, report_error=log.failure)
        log.finish(result)
    last = max((item.epoch for item in result.measurements if item.epoch is not None), default=None)
    return results.charted(item for item in result.measurements if item.epoch == last)
