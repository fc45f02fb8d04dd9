"""Open the run in MLflow before anything fans out."""

from components import step


@step()
def start(preset: str, overrides: str, experiment: str, run_key: str, job_id: str, source: str) -> str:
    """Find or open the parent run; return its id."""
    from mammogan import config, tracking

    return tracking.open_parent(
        experiment,
        run_key or job_id,
        config.resolve(preset, overrides),
        tags={"kfp.pipeline_run_id": job_id, "mammogan.source": source},
    )
