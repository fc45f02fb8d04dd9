"""Put the registered model into service, if the gates let it pass."""

from kfp import dsl

from components import step


@step()
def promote(
    preset: str,
    overrides: str,
    version: str,
    run: dsl.Input[dsl.Artifact],
    minority: dsl.Input[dsl.Dataset],
) -> None:
    """Make the audited version the champion, or say why not; a refusal is a result and fails nothing."""
    from pathlib import Path

    from mammogan import config, release

    settings = config.resolve(preset, overrides)
    release.promote(version, Path(minority.path), settings, Path(run.path).read_text())
