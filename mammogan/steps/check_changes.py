"""Find out whether training again can give anything new."""

from __future__ import annotations

from mammogan import registry
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, *, force: bool) -> bool:
    """Compare data, code and settings with those of earlier runs; True to train, always by force."""
    with context.step(Step.CHECK_CHANGES) as progress:
        progress.goes_on = registry.check_changes(context.parent_id, context.settings.select.model_name, force=force)
    return progress.goes_on
