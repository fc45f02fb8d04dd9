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
    """Write the six metrics of each snapshot; return the trial's status, never raise for a failed trial."""
    from pathlib import Path

    from mammogan.steps import StepContext, evaluate

    context = StepContext.of(preset, overrides, run)
    return evaluate.run(context, trial, store, Path(minority.path), Path(trained.path), Path(evaluation.path))
