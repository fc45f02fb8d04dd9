"""Fill up the rare class with the registered generator's images."""

from kfp import dsl

from mammogan.components import step


@step()
def synthesise(
    preset: str,
    overrides: str,
    version: str,
    run: str,
    dataset: dsl.Input[dsl.Dataset],
    minority: dsl.Input[dsl.Dataset],
    winner: dsl.Input[dsl.Model],
    filled: dsl.Output[dsl.Dataset],
) -> None:
    """Write the data set filled up to balance; the model's version marks every synthetic image."""
    from pathlib import Path

    from mammogan import config, release, tracking
    from mammogan.data.ingest import read_summary
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    label = read_summary(Path(minority.path))["label"]
    place = release.Place(tracking.parent_of(run), Path(dataset.path), Path(filled.path))
    with tracking.step(place.run, Step.SYNTHESISE):
        release.synthesise(Path(winner.path), version, label, settings, place)
