"""Open the run in MLflow before anything fans out."""

from kfp import dsl

from components import step


@step()
def start(
    preset: str, overrides: str, experiment: str, run_key: str, job_id: str, source: str, run: dsl.Output[dsl.Artifact]
) -> None:
    """Find or open the parent run and write its id, which later steps read."""
    from pathlib import Path

    from mammogan import config, tracking

    parent_id = tracking.open_parent(
        experiment,
        run_key or job_id,
        config.resolve(preset, overrides),
        tags={"kfp.pipeline_run_id": job_id, "mammogan.source": source},
    )
    Path(run.path).write_text(parent_id)
