"""Measure whether the synthetic images help a classifier."""

from __future__ import annotations

import logging
from pathlib import Path

from mammogan import results, tracking
from mammogan.errors import NotEnoughDataError
from mammogan.graph import Step
from mammogan.records import Findings
from mammogan.steps import notes
from mammogan.steps.context import StepContext
from mammogan.tracking.findings import log_findings
from mammogan.utility import study

logger = logging.getLogger(__name__)


def run(context: StepContext, version: str, filled: Path, out: Path) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version."""
    with context.step(Step.UTILITY):
        try:
            result = study(filled, context.settings, out)
        except NotEnoughDataError as error:
            notes.not_done(context, version, "utility", error, out)
            return
        measures, effects = (
            results.numbers(result.measures, "utility/"),
            results.numbers(result.effects, "utility_effect/"),
        )
        log_findings(context.parent_id, "utility", out, measures | effects)
        notes.add(context, version, "utility", result.verdict, Findings(utility=result))
        tracking.set_tags(context.parent_id, {"mammogan.utility": result.verdict})
        logger.info(f"utility: {result.verdict}")
