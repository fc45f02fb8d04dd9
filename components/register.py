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

    from mammogan import config, registry, tracking
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    parent_id = tracking.parent_of(run)
    with tracking.step(parent_id, Step.REGISTER):
        return registry.register(Path(winner.path), Path(decision.path), parent_id, settings)
