"""Measure whether the synthetic images help a classifier."""

from kfp import dsl

from mammogan.components import step


@step()
def utility(
    preset: str,
    overrides: str,
    version: str,
    run: str,
    filled: dsl.Input[dsl.Dataset],
    benefit: dsl.Output[dsl.Artifact],
) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version."""
    from pathlib import Path

    from mammogan import config, release, tracking
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    place = release.Place(tracking.parent_of(run), Path(filled.path), Path(benefit.path))
    with tracking.step(place.run, Step.UTILITY):
        release.utility(version, settings, place)
