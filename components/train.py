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
    from mammogan.data.ingest import read_summary
    from mammogan.data.manifest import load_images
    from mammogan.training.loop import train_branch

    settings = config.resolve(preset, overrides)
    part = config.Branch.parse(branch)
    with tracking.branch_log(Path(run.path).read_text(), part, settings, step="train") as log:
        result = train_branch(
            load_images(Path(minority.path), split="train"),
            settings,
            part,
            data_digest=read_summary(Path(minority.path))["data_digest"],
            store=store or f"{trained.path}.store",
            out=Path(trained.path),
            report=log.metrics,
            report_grid=log.grid,
        )
        log.finish(result)
    return result["status"]
