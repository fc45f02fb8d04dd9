"""Measure every snapshot of one trial."""

from kfp import dsl

from mammogan.components import step


@step()
def evaluate(
    settings: str,
    trial: str,
    run: str,
    store: str,
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Metrics],
) -> None:
    """Write the six metrics of each snapshot, show those of the last one; never raise for a failed trial."""
    from pathlib import Path

    from mammogan.steps import StepContext, evaluate

    context = StepContext.of(settings, run)
    figures = evaluate.run(context, trial, store, Path(minority.path), Path(trained.path), Path(evaluation.path))
    for name, value in figures.items():
        evaluation.log_metric(name, value)
