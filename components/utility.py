"""Measure whether the synthetic images help a classifier."""

from kfp import dsl

from mammogan.components import step


@step()
def utility(
    settings: str,
    version: str,
    run: str,
    filled: dsl.Input[dsl.Dataset],
    benefit: dsl.Output[dsl.Artifact],
) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version."""
    from pathlib import Path

    from mammogan.steps import StepContext, utility

    utility.run(StepContext.of(settings, run), version, Path(filled.path), Path(benefit.path))
