"""Measure every snapshot of one trial."""

from __future__ import annotations

from pathlib import Path

from mammogan.config import Trial
from mammogan.evaluation.snapshots import evaluate_or_fail
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, trial: str, store: str, minority: Path, trained: Path, out: Path) -> str:
    """Write the metrics of each snapshot; return the trial's status, never raise for a failed trial."""
    with context.trial_log(Trial.parse(trial), Step.EVALUATE) as log:
        settings = context.settings.evaluate
        result = evaluate_or_fail(trained, minority, settings, out, log.metrics, store, report_error=log.failure)
        log.finish(result)
    return str(result.status)
