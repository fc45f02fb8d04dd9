"""A pipeline run by what a person calls it: ``latest``, its name, its key, or the beginning of an id."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run

from mammogan import shell
from mammogan.tracking.runs import pipeline_run
from mammogan.tracking.server import (
    KIND,
    MODEL_VERSION,
    REASON,
    RUN_KEY,
    RUN_NAME,
    VERDICT,
    client,
    experiments,
    find_runs,
)

LATEST = "latest"
"""Stands for the pipeline run that began last."""
SHORT = 8
"""Letters of an id that a person is shown, and may type."""
_WHOLE_ID = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[0-9a-f-]+")
"""Letters of MLflow's ids and of Kubeflow's."""
_PIPELINES = f"tags.`{KIND}` = 'pipeline'"


@dataclass(frozen=True)
class ListedRun:
    """One line of a list of pipeline runs."""

    run_id: str
    name: str
    key: str
    """What the launcher calls it: Kubeflow's id of the run, or the end of a local run's folder."""
    experiment: str
    """Name of its experiment."""
    status: str
    """MLflow's status: RUNNING, FINISHED, FAILED or KILLED."""
    started_ms: int
    """Start, milliseconds since 1970."""
    verdict: str
    """The selection's verdict, else why the run ended; empty where there is neither yet."""
    version: str
    """Version of the model that it registered; empty where it registered none."""


def find_run(name: str, tracking_uri: str = "", experiment: str = "") -> str:
    """Run id of the pipeline run that ``name`` means; of a trial's run, or the beginning of its id, that of its run.

    ``name`` is ``latest``, a run id in MLflow or its beginning, a run's name, or its key; looked for in ``experiment``,
    in all of them where that is empty. Raises ValueError where none or several are meant.
    """
    mlflow = client(tracking_uri)
    if _WHOLE_ID.fullmatch(name):
        return pipeline_run(name, tracking_uri).info.run_id
    places = experiments(mlflow, experiment)
    if name == LATEST:
        latest = mlflow.search_runs(places, _PIPELINES, max_results=1, order_by=["start_time DESC"]) if places else []
        if not latest:
            raise ValueError(
                f"run={name!r}: {_place(experiment)} has no pipeline run yet; start one with "
                f"`{shell.command('mammogan')} run`"
            )
        return latest[0].info.run_id
    found = {run.info.run_id: run for run in _called(mlflow, places, name, tracking_uri)}
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise ValueError(
            f"run={name!r}: {_place(experiment)} has no run of that name, key or beginning of an id; "
            f"`{shell.command('mammogan')} runs` lists them"
        )
    listed = ", ".join(f"{run.info.run_name} ({run_id[:SHORT]})" for run_id, run in found.items())
    raise ValueError(f"run={name!r}: {len(found)} runs are meant: {listed}; give more of an id")


def list_runs(tracking_uri: str = "", experiment: str = "", most: int = 20) -> list[ListedRun]:
    """The pipeline runs that began last, the latest first; raises ValueError where there is no such experiment."""
    mlflow = client(tracking_uri)
    names = {place: mlflow.get_experiment(place).name for place in experiments(mlflow, experiment)}
    if not names:
        return []
    found = mlflow.search_runs(list(names), _PIPELINES, max_results=most, order_by=["start_time DESC"])
    return [_listed(run, names[run.info.experiment_id]) for run in found]


def _called(mlflow: MlflowClient, places: list[str], name: str, tracking_uri: str) -> list[Run]:
    """Pipeline runs of that name or key, else those to which a run belongs whose id begins so."""
    if not places or not name or any(letter in name for letter in "'%\\"):
        return []
    for tag in (RUN_KEY, RUN_NAME):
        if found := find_runs(mlflow, places, {KIND: "pipeline", tag: name}):
            return found
    if not _ID.fullmatch(name):
        return []
    begun = [
        *mlflow.search_runs(places, f"attributes.run_id LIKE '{name}%'"),
        *mlflow.search_runs(places, f"{_PIPELINES} and tags.`{RUN_KEY}` LIKE '{name}%'"),
    ]
    return [pipeline_run(run.info.run_id, tracking_uri) for run in begun if KIND in run.data.tags]


def _listed(run: Run, experiment: str) -> ListedRun:
    tags = run.data.tags
    return ListedRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        key=tags.get(RUN_KEY, ""),
        experiment=experiment,
        status=run.info.status,
        started_ms=run.info.start_time,
        verdict=tags.get(REASON) or tags.get(VERDICT, ""),
        version=tags.get(MODEL_VERSION, ""),
    )


def _place(experiment: str) -> str:
    return f"experiment {experiment!r}" if experiment else "this MLflow"
