"""Put the registered model into service, if the gates let it pass."""

from kfp import dsl

from components import step


@step()
def promote(preset: str, overrides: str, version: str, run: dsl.Input[dsl.Artifact]) -> None:
    """Make the audited version the champion, or say why not; a refusal is a result and fails nothing."""
    from pathlib import Path

    from mammogan import config, release

    release.promote(version, config.resolve(preset, overrides), Path(run.path).read_text())
