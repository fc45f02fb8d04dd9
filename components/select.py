"""Choose the best snapshot among all trials."""

from kfp import dsl

from mammogan.components import step


@step()
def select(
    preset: str,
    overrides: str,
    run: str,
    evaluations: dsl.Input[list[dsl.Artifact]],
    store: str,
    decision: dsl.Output[dsl.Artifact],
    winner: dsl.Output[dsl.Model],
    critic: dsl.Output[dsl.Model],
) -> bool:
    """Write the decision, the winning snapshot and its critic; return whether there is one to register."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.graph import Step
    from mammogan.selection import ranking

    settings = config.resolve(preset, overrides)
    parent_id = tracking.parent_of(run)
    with tracking.step(parent_id, Step.SELECT) as progress:
        made = ranking.decide(
            [Path(item.path) for item in evaluations],
            store,
            settings.select,
            Path(decision.path),
            Path(winner.path),
            Path(critic.path),
        )
        tracking.log_decision(parent_id, made)
        ranking.require_survivor(made)
        progress.goes_on = made["accepted"]
    return progress.goes_on
