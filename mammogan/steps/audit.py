"""Check the synthetic images for copies of training images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mammogan import registry, tracking
from mammogan.audit import audit_dataset
from mammogan.config import SEEDS
from mammogan.errors import NotEnoughDataError
from mammogan.graph import Step
from mammogan.records import Findings
from mammogan.results import Outcome
from mammogan.selection import gates
from mammogan.steps import notes
from mammogan.steps.context import StepContext
from mammogan.tracking.findings import log_audit

logger = logging.getLogger(__name__)


def run(context: StepContext, version: str, filled: Path, critic: Path, out: Path) -> None:
    """Audit the filled data set, and say on run and version how many checks it passed and which could not be made.

    ``critic`` is the file of the critic that the version's generator was trained against; another one raises
    ValueError.
    """
    with context.step(Step.AUDIT):
        registry.require_critic(critic, context.settings.select.model_name, version)
        try:
            result = audit_dataset(filled, context.settings, out, critic=critic, more=_generator(context, version))
        except NotEnoughDataError as error:
            notes.not_done(context, version, "audit", error, out)
            notes.decide(context, version, Outcome.NOT_CHECKED, f"not done: {error}")
            return
        log_audit(context.parent_id, out, result)
        message = gates.audit_summary(result)
        notes.add(context, version, "audit", message, Findings(audit=result))
        notes.decide(context, version, result.outcome, message, for_release=result.for_release)
        tracking.set_tags(context.parent_id, {"mammogan.audit": message})
        logger.info(f"audit of version {version}: {message}")


def _generator(context: StepContext, version: str) -> Callable[[int], Tensor]:
    """What draws further images of the version, as whoever loads it draws them: without filters or truncation.

    The set holds as many as balance needs, which may show too little, or those that filters left over.
    """
    settings = context.settings

    def draw(count: int) -> Tensor:
        model = f"models:/{settings.select.model_name}/{version}"
        seed = (settings.synthesise.seed + 1) % SEEDS  # the next one: its images are none of the set's
        return torch.from_numpy(registry.generate(model, count, seed))[:, None]

    return draw
