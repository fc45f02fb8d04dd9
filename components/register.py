"""Register the winner in MLflow's model registry."""

from kfp import dsl

from components import step


@step()
def register(
    preset: str,
    overrides: str,
    run: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    winner: dsl.Input[dsl.Model],
) -> str:
    """Register the winning generator and move the alias; return the model version."""
    from pathlib import Path

    from mammogan import config, registry

    settings = config.resolve(preset, overrides)
    return registry.register(Path(winner.path), Path(decision.path), Path(run.path).read_text(), settings)
