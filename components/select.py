"""Choose the best snapshot among all branches."""

from kfp import dsl

from components import step


@step()
def select(
    preset: str,
    overrides: str,
    run: dsl.Input[dsl.Artifact],
    evaluations: dsl.Input[list[dsl.Artifact]],
    trained: dsl.Input[list[dsl.Model]],
    decision: dsl.Output[dsl.Artifact],
    winner: dsl.Output[dsl.Model],
    critic: dsl.Output[dsl.Model],
) -> bool:
    """Write the decision, the winning snapshot and its critic; return whether there is one to register."""
    from pathlib import Path

    from mammogan import config, selection, tracking

    settings = config.resolve(preset, overrides)
    made = selection.decide(
        [Path(item.path) for item in evaluations],
        [Path(item.path) for item in trained],
        settings.select,
        Path(decision.path),
        Path(winner.path),
        Path(critic.path),
    )
    tracking.log_decision(Path(run.path).read_text(), made)
    selection.require_survivor(made)
    return made["accepted"]
