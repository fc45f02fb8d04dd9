"""Register the winner in MLflow's model registry."""

from kfp import dsl

from mammogan.components import step


@step()
def register(
    settings: str,
    run: str,
    chosen: dsl.Input[dsl.Model],
    result: dsl.Input[dsl.Artifact],
) -> str:
    """Register the winning generator and move the alias; return the model version."""
    from pathlib import Path

    from mammogan.steps import Chosen, StepContext, register

    files = Chosen(Path(chosen.path))
    return register.run(StepContext.of(settings, run), files.winner, files.decision, Path(result.path))
