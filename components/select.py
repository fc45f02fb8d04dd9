"""Choose the best snapshot among all trials."""

from kfp import dsl

from mammogan.components import step


@step()
def select(
    preset: str,
    overrides: str,
    run: str,
    evaluations: dsl.Input[list[dsl.Metrics]],
    store: str,
    decision: dsl.Output[dsl.Metrics],
    winner: dsl.Output[dsl.Model],
    critic: dsl.Output[dsl.Model],
) -> bool:
    """Write the decision, the winning snapshot and its critic; return whether there is one to register."""
    from pathlib import Path

    from mammogan.steps import StepContext, select

    context, folders = StepContext.of(preset, overrides, run), [Path(item.path) for item in evaluations]
    choice = select.run(context, folders, store, Path(decision.path), Path(winner.path), Path(critic.path))
    for item in choice.winner.decided_by() if choice.winner else ():
        decision.log_metric(item.key, item.value)
    return choice.accepted
