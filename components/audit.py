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

    from mammogan import config, release, tracking
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    place = release.Place(tracking.parent_of(run), Path(filled.path), Path(privacy.path))
    with tracking.step(place.run, Step.AUDIT):
        release.audit(version, Path(critic.path), settings, place)
