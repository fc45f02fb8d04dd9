"""Register the winner in MLflow's model registry."""

from kfp import dsl

from mammogan.components import step


@step()
def register(
    preset: str,
    overrides: str,
    run: str,
    decision: dsl.Input[dsl.Artifact],
    winner: dsl.Input[dsl.Model],
) -> str:
    """Register the winning generator and move the alias; return the model version."""
    from pathlib import Path

    from mammogan.steps import StepContext, register

    return register.run(StepContext.of(preset, overrides, run), Path(winner.path), Path(decision.path))
