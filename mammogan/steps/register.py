"""Register the winner in MLflow's model registry."""

from __future__ import annotations

from pathlib import Path

from mammogan import registry
from mammogan.graph import Step
from mammogan.steps.context import StepContext


def run(context: StepContext, winner: Path, decision: Path, result: Path) -> str:
    """Register the winning generator with its figures on test images, move the alias; return the model version."""
    with context.step(Step.REGISTER):
        return registry.register(winner, decision, result, context.parent_id, context.settings)
