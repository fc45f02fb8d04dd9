"""Measure whether the synthetic images help a classifier."""

from kfp import dsl

from components import step


@step()
def utility(
    preset: str,
    overrides: str,
    version: str,
    run: dsl.Input[dsl.Artifact],
    filled: dsl.Input[dsl.Dataset],
    benefit: dsl.Output[dsl.Artifact],
) -> None:
    """Write the comparison of classifiers, log it, and say its verdict on the registered version."""
    from pathlib import Path

    from mammogan import config, release

    settings = config.resolve(preset, overrides)
    place = release.Place(Path(run.path).read_text(), Path(filled.path), Path(benefit.path))
    release.utility(version, settings, place)
