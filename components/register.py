"""Register the winner in MLflow's model registry."""

from kfp import dsl

from mammogan.components import step


@step()
def register(
    preset: str,
    overrides: str,
    run: str,
    decision: dsl.Input[dsl.Metrics],
    winner: dsl.Input[dsl.Model],
    result: dsl.Input[dsl.Artifact],
) -> str:
    """Register the winning generator and move the alias; return the model version."""
    from pathlib import Path

    from mammogan.steps import StepContext, register

    paths = [Path(item.path) for item in (winner, decision, result)]
    return register.run(StepContext.of(preset, overrides, run), *paths)
