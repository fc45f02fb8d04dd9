"""Measure the winner anew, once, on test images."""

from kfp import dsl

from mammogan.components import step


@step()
def evaluate_winner(
    preset: str,
    overrides: str,
    run: str,
    minority: dsl.Input[dsl.Dataset],
    decision: dsl.Input[dsl.Metrics],
    winner: dsl.Input[dsl.Model],
    result: dsl.Output[dsl.Artifact],
) -> None:
    """Write the winner's figures on test images, or why there are none."""
    from pathlib import Path

    from mammogan.steps import StepContext, evaluate_winner

    context = StepContext.of(preset, overrides, run)
    paths = [Path(item.path) for item in (minority, decision, winner, result)]
    evaluate_winner.run(context, *paths)
