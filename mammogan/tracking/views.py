"""The views of an experiment's Charts page that answer what a person asks of a run, and the one link that opens them.

Each pipeline run has a view of its own, under its key, from its start on; so its link is known before the run is, and
stays. Under fixed keys stand views of the latest run and of all runs, and a copy of the latest run's own.
"""

from __future__ import annotations

import functools
import logging
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from mlflow.version import VERSION

from mammogan.results import (
    AUC_GAIN,
    CRITIC_LOSS,
    GENERATOR_LOSS,
    GRADIENT_NORM,
    MEMORISED,
    WASSERSTEIN,
    Quantity,
)
from mammogan.tracking import saved_view
from mammogan.tracking.database import is_database
from mammogan.tracking.runs import LAMBDA, SEED
from mammogan.tracking.saved_view import PREFIX, TRIED, Chart, Kind, SavedView, Section
from mammogan.tracking.server import KIND, PARENT, RUN_KEY, TRIAL_KIND, VERDICT, client, find_runs

logger = logging.getLogger(__name__)

LATEST = "latest"
"""Key of the view that is the latest run's own."""
LAMBDAS, SAMPLES, RETRAININGS = "lambdas", "samples", "retrainings"
"""Keys of the views of the latest run by lambda and by trial, and of all pipeline runs."""
SHARED = (LATEST, LAMBDAS, SAMPLES, RETRAININGS)
KEPT = 20
"""Pipeline runs that keep a view of their own, the latest ones."""
ANSWER_S = 5
IMAGE_SERIES = "samples"
TRIAL_COLUMNS = (f"params.`{LAMBDA}`", f"params.`{SEED}`")
ORIGIN_COLUMNS = ("attributes.`Dataset`", "attributes.`Source`", "attributes.`Created`", "attributes.`Duration`")
DECIDING = 2
"""Quantities at the top: those that decide, KID and FID as the settings are."""
FALLING = ("kid", "fid", "lpips", "ms_ssim")
"""Metrics of which less is better, or at least first."""
TRAINING = (WASSERSTEIN, CRITIC_LOSS, GRADIENT_NORM, GENERATOR_LOSS)


def path(experiment_id: str, key: str = LATEST, tracking_uri: str = "") -> str:
    """Address, behind MLflow's own, of a view: of the run of that key, or one of ``SHARED``.

    The plain list of runs where the server is of a version of MLflow whose page was not tried.
    """
    if version(tracking_uri) != TRIED:
        return f"#/experiments/{experiment_id}/runs"
    return saved_view.address(experiment_id, key)


def artifact_path(experiment_id: str, run_id: str, file: str) -> str:
    """Address, behind MLflow's own, of the page that shows an artifact of a run."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{urllib.parse.quote(file)}"


def model_path(model: str) -> str:
    """Address, behind MLflow's own, of a registered model's page: its champion, and why each champion became that."""
    return f"#/models/{urllib.parse.quote(model, safe='')}"


def version_path(model: str, number: str) -> str:
    """Address, behind MLflow's own, of the page of a registered model's version."""
    return f"{model_path(model)}/versions/{number}"


def version(tracking_uri: str = "") -> str:
    """Version of the MLflow that shows the pages of ``tracking_uri``; empty where it does not say.

    A database is shown by the MLflow that is installed here.
    """
    uri = tracking_uri or mlflow.get_tracking_uri()
    if is_database(uri):
        return VERSION
    try:
        return _version_of(uri)
    except MlflowException:
        return ""


@functools.cache
def _version_of(uri: str) -> str:
    """What a server says, asked once a process. Raises MlflowException where it is away."""
    answer = http_request(
        get_default_host_creds(uri), "/version", "GET", max_retries=0, raise_on_status=False, timeout=ANSWER_S
    )
    return answer.text.strip() if answer.status_code == 200 else ""


def save(
    run_id: str,
    quantities: Sequence[Quantity] = (),
    figures: Sequence[Quantity] = (),
    last_epoch: int = 0,
    seeds: int = 1,
    tracking_uri: str = "",
) -> None:
    """Save the views of a pipeline run, and those of the latest run where it is that.

    ``quantities`` are what its trials were measured by, the deciding ones first; none before they were. ``figures``
    are those of its winner on test images, ``last_epoch`` is the epoch of the samples to show, ``seeds`` the most seeds
    of any lambda. A view that a person changed stays as it is; nothing is saved on a version of MLflow that was not
    tried.
    """
    if version(tracking_uri) != TRIED:
        logger.info(f"no views are saved: MLflow is {version(tracking_uri) or 'of unknown version'}, tried was {TRIED}")
        return
    server = client(tracking_uri)
    run = server.get_run(run_id)
    experiment_id = run.info.experiment_id
    pipelines = find_runs(server, [experiment_id], {KIND: "pipeline"})
    children = find_runs(server, [experiment_id], {PARENT: run_id})
    views = dict(_of_run(run, quantities, figures, last_epoch, seeds))
    tags = server.get_experiment(experiment_id).tags
    views = views if _is_latest(run, pipelines, tags) else {run.data.tags[RUN_KEY]: views[run.data.tags[RUN_KEY]]}
    keys = {key for each in children for key in each.data.metrics}
    for key, view in views.items():
        before = tags.get(f"{PREFIX}{key}")
        if saved_view.is_ours(before):
            known = keys if key != RETRAININGS else {key for each in pipelines for key in each.data.metrics}
            server.set_experiment_tag(experiment_id, f"{PREFIX}{key}", saved_view.document(view, known, before))
    _forget(server, experiment_id, tags, pipelines)


def _of_run(
    run: Run, quantities: Sequence[Quantity], figures: Sequence[Quantity], last_epoch: int, seeds: int
) -> Iterator[tuple[str, SavedView]]:
    """Views by key; with one seed a run's own shows its trials, which are as many as its lambdas, and their samples."""
    by_lambda = replace(_of_trials(run, quantities), name="Lambdas: mean and range over seeds", group_by=LAMBDA)
    by_trial = _with_samples(replace(_of_trials(run, quantities), name="Trials and their samples"), last_epoch)
    own = by_lambda if seeds > 1 else by_trial
    yield run.data.tags[RUN_KEY], replace(own, name=f"Run {run.info.run_name or run.info.run_id}")
    yield LATEST, replace(own, name="Latest run")
    yield LAMBDAS, by_lambda
    yield SAMPLES, by_trial
    yield RETRAININGS, _of_pipelines(figures)


def _of_trials(run: Run, quantities: Sequence[Quantity]) -> SavedView:
    """The trials of a pipeline run and its reference, best first by the first quantity."""
    deciding, others = quantities[:DECIDING], quantities[DECIDING:]
    order = f"metrics.`{quantities[0].key}`" if quantities else f"params.`{LAMBDA}`"
    sections = [
        Section("Which lambda is better?", tuple(map(_line, deciding)), per_row=2),
        Section("What else was measured", tuple(map(_line, others)), height_px=280),
        Section("Training", tuple(Chart(Kind.LINE, key) for key in TRAINING), per_row=4, height_px=260),
    ]
    return SavedView(
        name="",
        search=f"tags.`{PARENT}` = '{run.info.run_id}' and tags.`{KIND}` LIKE '{TRIAL_KIND}%'",
        order_by=order,
        ascending=not quantities or quantities[0].metric in FALLING,
        columns=(*TRIAL_COLUMNS, *(f"metrics.`{item.key}`" for item in deciding), *ORIGIN_COLUMNS),
        sections=tuple(section for section in sections if section.charts),
    )


def _line(quantity: Quantity) -> Chart:
    return Chart(Kind.LOG_LINE if quantity.metric == "fid" else Kind.LINE, quantity.key)


def _with_samples(view: SavedView, last_epoch: int) -> SavedView:
    """The view with the samples of its runs at an epoch, behind what decides."""
    if not last_epoch:
        return view
    samples = Section(f"Samples of epoch {last_epoch}", (Chart(Kind.IMAGES, IMAGE_SERIES, last_epoch),), 1, 420)
    return replace(view, sections=(*view.sections[:1], samples, *view.sections[1:]))


def _of_pipelines(figures: Sequence[Quantity]) -> SavedView:
    """Every pipeline run, the latest first."""
    charts = tuple(Chart(Kind.BAR, key) for key in (*(item.result_key for item in figures), MEMORISED, AUC_GAIN))
    return SavedView(
        name="Retrainings over time",
        search=f"tags.`{KIND}` = 'pipeline'",
        order_by="attributes.`start_time`",
        ascending=False,
        columns=(*(f"metrics.`{chart.key}`" for chart in charts), f"tags.`{VERDICT}`", *ORIGIN_COLUMNS),
        sections=(Section("What each retraining came to", charts),),
    )


def _is_latest(run: Run, pipelines: Sequence[Run], tags: Mapping[str, str]) -> bool:
    """Whether no later pipeline run has views by now."""
    started_ms = run.info.start_time
    return not any(
        other.info.start_time > started_ms and f"{PREFIX}{other.data.tags[RUN_KEY]}" in tags
        for other in pipelines
        if RUN_KEY in other.data.tags
    )


def _forget(server: MlflowClient, experiment_id: str, tags: Mapping[str, str], pipelines: Sequence[Run]) -> None:
    """Remove the own views of runs that are gone or old, but for those that a person changed."""
    kept = [run.data.tags.get(RUN_KEY, "") for run in pipelines][-KEPT:]
    for tag, text in tags.items():
        key = tag.removeprefix(PREFIX)
        ours = tag.startswith(PREFIX) and key not in (*kept, *SHARED)
        if ours and saved_view.was_written(text):
            server.delete_experiment_tag(experiment_id, tag)
