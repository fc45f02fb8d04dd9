"""Choose the best snapshot among all trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mammogan import results, tracking
from mammogan.graph import Step
from mammogan.results import Decision
from mammogan.selection import ranking
from mammogan.steps import presentation
from mammogan.steps.chosen import Chosen
from mammogan.steps.context import StepContext


def run(context: StepContext, evaluations: Sequence[Path], store: str, chosen: Chosen, decision: Path) -> Decision:
    """Write the decision, the winning snapshot and its critic, and the decision once more to the file ``decision``."""
    with context.step(Step.SELECT) as progress:
        choice = ranking.decide(
            evaluations, store, context.settings.select, chosen.decision, chosen.winner, chosen.critic
        )
        results.write(choice, decision)
        tracking.log_decision(context.parent_id, choice)
        tracking.log_measurements(context.parent_id, ranking.read_evaluations(evaluations))
        presentation.update(context.parent_id)
        ranking.require_survivor(choice)
        progress.goes_on = choice.accepted
    return choice
