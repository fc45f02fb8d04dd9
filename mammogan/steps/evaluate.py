"""Measure every snapshot of one trial."""

from __future__ import annotations

from pathlib import Path

from mammogan import results
from mammogan.config import SelectConfig, Trial
from mammogan.evaluation.snapshots import evaluate_or_fail
from mammogan.graph import Step
from mammogan.results import Evaluation
from mammogan.selection.pairing import ranking_pairing
from mammogan.steps.context import StepContext


def run(context: StepContext, trial: str, store: str, minority: Path, trained: Path, out: Path) -> dict[str, float]:
    """Write the metrics of each snapshot; never raise for a failed trial.

    Returns the leading ones of the last snapshot by key, which Kubeflow's page shows: KID and FID against the reals
    that rank it, and how unlike each other its images are. Kubeflow copies them into its workflow, of which it shows
    1 MB, and MLflow has all.
    """
    with context.trial_log(Trial.parse(trial), Step.EVALUATE) as log:
        settings = context.settings.evaluate
        result = evaluate_or_fail(trained, minority, settings, out, log.metrics, store, report_error=log.failure)
        leading = _leading(result, context.settings.select)
        log.finish(result)
    return leading


def _leading(result: Evaluation, settings: SelectConfig) -> dict[str, float]:
    """Of the last snapshot KID and FID against the reals that rank it, and how unlike each other its images are."""
    last = max((item.epoch for item in result.measurements if item.epoch is not None), default=None)
    against, _ = ranking_pairing([result], settings)
    distances = {(metric, against) for metric in ("kid", "fid")}
    return results.charted(
        item
        for item in result.measurements
        if item.epoch == last
        and ((item.quantity.metric, item.quantity.pairing) in distances or item.quantity.pairing == "fake_fake")
    )
