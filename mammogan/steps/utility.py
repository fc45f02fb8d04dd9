"""Measure whether the synthetic images help a classifier."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from mammogan import registry, tracking
from mammogan.errors import NotEnoughDataError
from mammogan.graph import Step
from mammogan.records import Findings
from mammogan.steps import notes
from mammogan.steps.context import StepContext
from mammogan.tracking.findings import log_utility
from mammogan.utility import drawn_by, study

logger = logging.getLogger(__name__)


def run(context: StepContext, version: str, filled: Path, out: Path) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version.

    The first block of trainings has the images of the filled set, the others new ones of the registered generator.
    """
    name = context.settings.select.model_name
    with context.step(Step.UTILITY):
        try:
            draw = drawn_by(partial(registry.generator_of, name, version), filled, context.settings)
            result = study(filled, context.settings, out, draw=draw)
        except NotEnoughDataError as error:
            notes.not_done(context, version, "utility", error, out)
            return
        log_utility(context.parent_id, out, result)
        notes.add(context, version, "utility", result.verdict, Findings(utility=result))
        tracking.set_tags(context.parent_id, {"mammogan.utility": result.verdict})
        logger.info(f"utility: {result.verdict}")
