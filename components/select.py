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

    from mammogan.steps import StepContext, select

    context, folders = StepContext.of(preset, overrides, run), [Path(item.path) for item in evaluations]
    return select.run(context, folders, store, Path(decision.path), Path(winner.path), Path(critic.path))
