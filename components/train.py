"""Train one branch of the fan-out."""

from kfp import dsl

from components import step


@step()
def train(
    preset: str,
    overrides: str,
    branch: str,
    run: dsl.Input[dsl.Artifact],
    store: str,
    minority: dsl.Input[dsl.Dataset],
    trained: dsl.Output[dsl.Model],
) -> str:
    """Train the generator of one (lambda, seed); return finished, diverged or failed, never raise for a lost branch."""
    from pathlib import Path

    from mammogan import config, tracking
    from mammogan.data.minority import training_set
    from mammogan.training.loop import train_branch

    settings = config.resolve(preset, overrides)
    part = config.Branch.parse(branch)
    images, patients, data_digest = training_set(Path(minority.path), settings.data.minority)
    with tracking.branch_log(Path(run.path).read_text(), part, settings, step="train") as log:
        result = train_branch(
            images,
            settings,
            part,
            data_digest=data_digest,
            store=store or f"{trained.path}.store",
            out=Path(trained.path),
            report=log.metrics,
            report_grid=log.grid,
            patients=patients,
        )
        log.finish(result)
    return result["status"]
