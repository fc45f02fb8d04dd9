"""Open the run in MLflow before anything else."""

from mammogan.components import step


@step()
def start(preset: str, overrides: str, run: str, experiment: str, source: str) -> None:
    """Find or open the parent run, under whose record every later step writes; end earlier runs that nobody closed."""
    from mammogan import config, tracking

    settings = config.resolve(preset, overrides)
    tracking.begin(experiment, run, settings, tags={"kfp.pipeline_run_id": run, "mammogan.source": source})
