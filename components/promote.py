"""Put the registered model into service, if the gates let it pass."""

from kfp import dsl

from mammogan.components import step


@step()
def promote(
    settings: str,
    version: str,
    run: str,
    minority: dsl.Input[dsl.Dataset],
) -> None:
    """Make the audited version the champion, or say why not; a refusal is a result and fails nothing."""
    from pathlib import Path

    from mammogan.steps import StepContext, promote

    promote.run(StepContext.of(settings, run), version, Path(minority.path))
