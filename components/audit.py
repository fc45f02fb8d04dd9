"""Check the synthetic images for copies of training images."""

from kfp import dsl

from mammogan.components import step


@step()
def audit(
    settings: str,
    version: str,
    run: str,
    filled: dsl.Input[dsl.Dataset],
    chosen: dsl.Input[dsl.Model],
    privacy: dsl.Output[dsl.Artifact],
) -> None:
    """Write the audit, log it, and say on the registered version whether it passed."""
    from pathlib import Path

    from mammogan.steps import Chosen, StepContext, audit

    context = StepContext.of(settings, run)
    audit.run(context, version, Path(filled.path), Chosen(Path(chosen.path)).critic, Path(privacy.path))
