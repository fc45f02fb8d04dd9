"""What a step after registration leaves on the registered version: a tag, and a section of its card."""

from __future__ import annotations

import logging
from pathlib import Path

from mammogan import tracking
from mammogan.errors import NotEnoughDataError
from mammogan.records import Findings
from mammogan.registry import notes
from mammogan.reporting import findings
from mammogan.reporting.markdown import plain
from mammogan.results import Outcome
from mammogan.steps.context import StepContext

logger = logging.getLogger(__name__)


def add(context: StepContext, version: str, step: str, message: str, records: Findings) -> None:
    """Put the step's result on the registered version."""
    model = context.settings.select.model_name
    notes.write(model, version, step, message, "\n".join(findings.card_lines(records)))


def decide(context: StepContext, version: str, outcome: Outcome, summary: str, *, for_release: bool = False) -> None:
    """Record on the version what the audit came to, by which it may be promoted."""
    model = context.settings.select.model_name
    notes.write_outcome(model, version, outcome, summary, for_release=for_release)


def not_done(context: StepContext, version: str, step: str, error: NotEnoughDataError, out: Path) -> None:
    """Say on run and version that a data set was too small for a step; the run goes on, nothing counts as passed."""
    message = f"not done: {error}"
    notes.write(
        context.settings.select.model_name, version, step, message, f"## {step.capitalize()}\n\n{plain(message)}"
    )
    tracking.set_tags(context.parent_id, {f"mammogan.{step}": message})
    logger.info(f"{step}: {message}")
    out.mkdir(parents=True, exist_ok=True)
