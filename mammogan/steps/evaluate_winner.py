"""Measure the winner anew, once, on test images."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from mammogan import errors, results, tracking
from mammogan.config import EvaluateConfig
from mammogan.data.dataset import Dataset
from mammogan.data.minority import label_to_synthesise
from mammogan.evaluation import winner as measuring
from mammogan.graph import Step
from mammogan.reporting import winner as wording
from mammogan.results import Candidate, Decision, HeldOutSet, WinnerResult
from mammogan.selection import gates
from mammogan.steps.context import StepContext
from mammogan.tracking import looks
from mammogan.tracking.findings import log_results

logger = logging.getLogger(__name__)


def run(context: StepContext, minority: Path, decision: Path, winner: Path, out: Path) -> WinnerResult:
    """Write the winner's figures on test images, or why there are none; the look at them is recorded before it is made.

    ``minority`` is the data set that it was selected on, ``winner`` its snapshot. A measurement that fails raises
    nothing, so that the version is registered, without a figure; the step and the run have failed. Raises ValueError
    for a decision without a winner.
    """
    with context.step(Step.EVALUATE_WINNER) as progress:
        chosen = results.read(Decision, decision).winner
        if chosen is None:
            raise ValueError(f"decision={str(decision)!r}: it has no winner to measure")
        real = Dataset.read(minority).real
        real = real.of(label_to_synthesise(real, context.settings.data.minority))
        test_set = _looked_at(context, measuring.held_out_set(real))
        result, progress.failure = _measured(winner, chosen, real, test_set, context.settings.evaluate)
        results.write(result, out)
        log_results(context.parent_id, result.charted())
        tracking.log_result(context.parent_id, result)
        if test_set.looks:
            tracking.set_tags(context.parent_id, {looks.TEST_LOOKS: str(test_set.looks)})
        logger.info(wording.sentence(result))
    return result


def _looked_at(context: StepContext, test_set: HeldOutSet) -> HeldOutSet:
    """The test set with the number of looks at it, this one included; what nobody can see is not looked at."""
    if not test_set.images:
        return test_set
    count = looks.look(context.parent_id, test_set.digest)
    return dataclasses.replace(test_set, looks=count)


def _measured(
    snapshot: Path, candidate: Candidate, real: Dataset, test_set: HeldOutSet, config: EvaluateConfig
) -> tuple[WinnerResult, Exception | None]:
    """The result, and the error of a measurement that failed."""
    try:
        result = measuring.measure_winner(snapshot, candidate, real, test_set, config)
    except Exception as error:
        logger.exception(f"{candidate.trial.name}: not measured on test images: {errors.typed_reason(error)}")
        return measuring.failed(snapshot, candidate, test_set, config, error), error
    return gates.judged(result), None
