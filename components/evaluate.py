"""Measure every snapshot of one branch."""

from kfp import dsl

from components import step


@step()
def evaluate(
    preset: str,
    overrides: str,
    branch: str,
    run: dsl.Input[dsl.Artifact],
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
) -> str:
    """Write the six metrics of each snapshot; return the branch's status, never raise for a lost branch."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.evaluation import evaluate_branch

    settings = config.resolve(preset, overrides)
    with tracking.branch_log(Path(run.path).read_text(), config.Branch.parse(branch), settings, step="evaluate") as log:
        result = evaluate_branch(
            Path(trained.path), Path(minority.path), settings.evaluate, Path(evaluation.path), log.metrics
        )
        log.finish(result)
    return result["status"]
