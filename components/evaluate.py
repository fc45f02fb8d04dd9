"""Measure every snapshot of one trial."""

from kfp import dsl

from mammogan.components import step


@step()
def evaluate(
    preset: str,
    overrides: str,
    trial: str,
    run: str,
    store: str,
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
) -> str:
    """Write the six metrics of each snapshot; return the trial's status, never raise for a lost trial."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.evaluation.snapshots import evaluate_or_lose
    from mammogan.graph import Step

    settings = config.resolve(preset, overrides)
    with tracking.trial_log(tracking.parent_of(run), config.Trial.parse(trial), settings, step=Step.EVALUATE) as log:
        result = evaluate_or_lose(
            Path(trained.path), Path(minority.path), settings.evaluate, Path(evaluation.path), log.metrics, store
        )
        log.finish(result)
    return result["status"]
