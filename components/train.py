"""Train one trial of the fan-out."""

from kfp import dsl

from mammogan.components import step


@step()
def train(
    preset: str,
    overrides: str,
    trial: str,
    run: str,
    store: str,
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Output[dsl.Model],
) -> str:
    """Train the generator of one (lambda, seed); return finished, diverged or failed, never raise for a lost trial."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.data.minority import training_set
    from mammogan.graph import Step
    from mammogan.training.trial import train_trial

    settings = config.resolve(preset, overrides)
    part = config.Trial.parse(trial)
    with tracking.trial_log(tracking.parent_of(run), part, settings, step=Step.TRAIN) as log:
        images, patients, data_digest = training_set(Path(minority.path), settings.data.minority)
        result = train_trial(
            images,
            settings,
            part,
            data_digest=data_digest,
            store=store,
            out=Path(trained.path),
            report=log.metrics,
            report_grid=log.grid,
            patients=patients,
        )
        log.finish(result)
    return result["status"]
