"""Register the winner in MLflow's model registry."""

from kfp import dsl

from components import step


@step()
def register(
    preset: str,
    overrides: str,
    parent_id: str,
    decision: dsl.Input[dsl.Artifact],
    winner: dsl.Input[dsl.Model],
) -> str:
    """Register the winning generator and move the alias; return the model version."""
    from pathlib import Path

    from mammogan import config, registry

    settings = config.resolve(preset, overrides)
    return registry.register(Path(winner.path), Path(decision.path), parent_id, settings)
