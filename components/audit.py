"""Check the synthetic images for copies of training images."""

from kfp import dsl

from mammogan.components import step


@step()
def audit(
    preset: str,
    overrides: str,
    version: str,
    run: str,
    filled: dsl.Input[dsl.Dataset],
    critic: dsl.Input[dsl.Model],
    privacy: dsl.Output[dsl.Artifact],
) -> None:
    """Write the audit, log it, and say on the registered version whether it passed."""
    from pathlib import Path

    from mammogan.steps import StepContext, audit

    context = StepContext.of(preset, overrides, run)
    audit.run(context, version, Path(filled.path), Path(critic.path), Path(privacy.path))
