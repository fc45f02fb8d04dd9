"""Points of a run's metrics that are there once, also where two processes log the same at once.

MLflow keeps one of two points that are alike in name, step, value and time. So their time is taken from what the run
holds, which is the same for both, not from a clock.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

AT_ONCE = 1000  # MLflow's limit for one log_batch


def log_latest(mlflow: MlflowClient, run_id: str, values: Mapping[str, float], step: int) -> None:
    """Log values of a step by name, except those that are the latest of that name already."""
    run = mlflow.get_run(run_id)
    fresh = {name: value for name, value in values.items() if run.data.metrics.get(name) != value}
    if fresh:
        metrics = [Metric(name, value, _after_all(mlflow, run, name), step) for name, value in fresh.items()]
        mlflow.log_batch(run_id, metrics=metrics)


def log_missing(mlflow: MlflowClient, run_id: str, values: Mapping[tuple[str, int], float]) -> None:
    """Log values by name and step, except where the run holds one of that name and step."""
    time_ms = mlflow.get_run(run_id).info.start_time
    known = {name: {point.step for point in mlflow.get_metric_history(run_id, name)} for name, _ in values}
    fresh = [Metric(name, value, time_ms, step) for (name, step), value in values.items() if step not in known[name]]
    for start in range(0, len(fresh), AT_ONCE):
        mlflow.log_batch(run_id, metrics=fresh[start : start + AT_ONCE])


def _after_all(mlflow: MlflowClient, run: Run, name: str) -> int:
    """A time after every point of that name, so that the new one is the latest; when the run began for the first."""
    if name not in run.data.metrics:
        return run.info.start_time
    return 1 + max(point.timestamp for point in mlflow.get_metric_history(run.info.run_id, name))
