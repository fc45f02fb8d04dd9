"""Put the registered model into service, if the gates let it pass."""

from __future__ import annotations

import logging
from pathlib import Path

from mammogan import registry, tracking
from mammogan.graph import Step
from mammogan.results import Move
from mammogan.steps.context import StepContext

logger = logging.getLogger(__name__)


def run(context: StepContext, version: str, minority: Path) -> Move:
    """Make the audited version the champion, or say why not; a refusal is a result and fails nothing.

    ``minority`` is what the version was selected on: it and the champion are measured anew on its held-out patients.
    """
    with context.step(Step.PROMOTE):
        model = context.settings.select.model_name
        contests = registry.contests(version, minority, context.settings)
        move = registry.promote(model, version, f"selected by run {context.parent_id}", contests=contests)
        tracking.set_tags(context.parent_id, {tracking.PROMOTION: move.why})
        logger.info(f"model {model} version {version}: {move.why}")
    return move
