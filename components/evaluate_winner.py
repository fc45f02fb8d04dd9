"""Measure the winner anew, once, on test images."""

from kfp import dsl

from mammogan.components import step


@step()
def evaluate_winner(
    settings: str,
    run: str,
    minority: dsl.Input[dsl.Dataset],
    chosen: dsl.Input[dsl.Model],
    result: dsl.Output[dsl.Artifact],
) -> None:
    """Write the winner's figures on test images, or why there are none."""
    from pathlib import Path

    from mammogan.steps import Chosen, StepContext, evaluate_winner

    context = StepContext.of(settings, run)
    files = Chosen(Path(chosen.path))
    evaluate_winner.run(context, Path(minority.path), files.decision, files.winner, Path(result.path))
