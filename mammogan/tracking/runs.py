"""Opening, describing and closing the parent run of a pipeline run and the child run of each trial."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from mammogan import codec, results, storage
from mammogan.config import PRESETS, Config, Overrides, SettingValue, Trial, lambda_text
from mammogan.data.summary import MinoritySummary
from mammogan.reporting import winner as wording
from mammogan.reporting.figures import COLOURS
from mammogan.results import Decision, WinnerResult
from mammogan.tracking import environment, heartbeat, points
from mammogan.tracking.server import (
    CONFIG_FILE,
    DATA_DIGEST,
    DECISION_FILE,
    GIVEN_UP,
    KIND,
    MANIFEST_FILE,
    NOTHING_THERE,
    PARENT,
    REASON,
    RESULT,
    RESULT_FILE,
    RUN_KEY,
    RUN_NAME,
    SHA256,
    STATUS,
    STOP_ASKED,
    SUMMARY_FILE,
    TAG_LENGTH,
    TRIAL,
    TRIAL_KIND,
    VERDICT,
    client,
    ensure_experiment,
    find_anywhere,
    find_runs,
)
from mammogan.tracking.tables import SUBGROUPS_FILE, log_table, subgroups_table

PARAMS_AT_ONCE = 100  # MLflow's limits
DIGEST_LENGTH = 36
DATASET_LENGTH = 500
PARAM_LENGTH = 6000
SETTLE_S = 1.0
YOUNG_S = 30.0
"""Age of a run below which others may be at creating its twin."""
CREATOR = "mammogan.creator"
LAMBDA, SEED = "lambda", "seed"
"""Parameters of a trial's run, by which its page groups and names the lines of its charts."""
RUN_COLOUR = "mlflow.runColor"
"""Tag of a run with its colour on MLflow's page, ``#rrggbb``: given once, so that a person's own choice stays."""
LOCAL_KEY = "MAMMOGAN_RUN_KEY"
"""Variable by which the local runner tells its steps the key of the run that they go on with."""


def find_parent(run_key: str, tracking_uri: str = "") -> str | None:
    """Run id of the parent run with that key, or None; in any experiment, because names of experiments change."""
    runs = find_anywhere(client(tracking_uri), {RUN_KEY: run_key})
    return runs[0].info.run_id if runs else None


def parent_of(run: str, tracking_uri: str = "") -> str:
    """Run id of the parent run that ``start`` opened for Kubeflow's run ``run``.

    Raises RuntimeError where there is none: it never was, or it or its experiment was deleted in MLflow meanwhile.
    """
    parent = find_parent(key_of(run), tracking_uri)
    if parent is None:
        raise RuntimeError(
            f"run {key_of(run)} has no parent run in MLflow: start did not get that far, or somebody deleted the run "
            "or its experiment; restore it in MLflow, or start a new run"
        )
    return parent


def pipeline_run(run_id: str, tracking_uri: str = "") -> Run:
    """The pipeline run of that id, or the one above the trial's run, or Kubeflow's task, that has it.

    Raises ValueError where there is no such run, where that pipeline run is in MLflow's trash, and where it is of
    another program.
    """
    mlflow = client(tracking_uri)
    try:
        given = mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in NOTHING_THERE:
            raise
        raise ValueError(f"run={run_id!r}: MLflow has no run of that id; copy it from the UI") from error
    run = next((each for each in _upwards(mlflow, given) if each.data.tags.get(KIND) == "pipeline"), None)
    if run is None:
        raise ValueError(f"run={run_id!r}: it is no run of this experiment's graph; give the id of a pipeline run")
    if run.info.lifecycle_stage != "active":
        raise ValueError(f"run={run_id!r}: {run.info.run_id} is in MLflow's trash; restore it there first")
    return run


def _upwards(mlflow: MlflowClient, run: Run) -> Iterator[Run]:
    """The run and those above it, each once: whoever may write a tag may make a run its own parent.

    Raises ValueError where one of them is gone.
    """
    seen: set[str] = set()
    while True:
        yield run
        seen.add(run.info.run_id)
        above = run.data.tags.get(PARENT)
        if not above or above in seen:
            return
        try:
            run = mlflow.get_run(above)
        except MlflowException as error:
            if error.error_code not in NOTHING_THERE:
                raise
            message = f"run={run.info.run_id!r}: the run above it, {above}, is gone from MLflow; give another run"
            raise ValueError(message) from error


def key_of(run: str) -> str:
    """Key of the parent run: Kubeflow's id of the run; a local run goes on under the key of its folder."""
    return os.environ.get(LOCAL_KEY) or run


def find_or_create(mlflow: MlflowClient, experiment: str, key: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Run id of the oldest run with the tags ``key``, set RUNNING; created with ``tags`` too where there is none.

    Where processes create at once, all keep the oldest run and the others are deleted by their creators. A start time
    is taken before the run is stored: each waits for the others' runs to appear before it looks which is oldest, and so
    does whoever comes while they wait, for what it finds first may be one that goes.
    One creator alone may make two, when the answer to its first request is lost and the client asks again.
    """
    runs = find_runs(mlflow, [experiment], key)
    if not runs:
        creator = uuid.uuid4().hex
        asked = time.monotonic()
        mlflow.create_run(experiment, tags={**tags, **key, CREATOR: creator})
        # a server that is slow with this run is so with the others'
        time.sleep(max(SETTLE_S, 3 * (time.monotonic() - asked)))
        runs = find_runs(mlflow, [experiment], key)
        for twin in runs[1:]:
            if twin.data.tags.get(CREATOR) == creator:
                mlflow.delete_run(twin.info.run_id)
    elif abs(time.time() - runs[0].info.start_time / 1000) < YOUNG_S:
        time.sleep(SETTLE_S)
        runs = find_runs(mlflow, [experiment], key)
    _reopen(mlflow, runs[0])
    return runs[0].info.run_id


def reopen(run_id: str, tracking_uri: str = "", *, anew: bool = True) -> None:
    """Make a run RUNNING again that had ended, without the status and the reason that it then got.

    ``anew`` also forgets that somebody ended it; not so for its exit step, which has to know.
    """
    mlflow = client(tracking_uri)
    _reopen(mlflow, mlflow.get_run(run_id), anew=anew)


def _reopen(mlflow: MlflowClient, run: Run, *, anew: bool = True) -> None:
    forgotten = [STATUS, REASON]
    if run.info.status != "RUNNING":
        mlflow.update_run(run.info.run_id, status="RUNNING")
        forgotten += [STOP_ASKED, GIVEN_UP] if anew else []
    for name in forgotten:
        if run.data.tags.get(name):
            mlflow.set_tag(run.info.run_id, name, "")


def _log_params(mlflow: MlflowClient, run_id: str, settings: Overrides) -> None:
    """Log settings once, as ``cfg.*``. Raises ValueError where the run already has another value."""
    log_params(mlflow, run_id, {f"cfg.{name}": _text(value) for name, value in settings.items()})


def log_params(mlflow: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Log parameters once. Raises ValueError where the run already has another value."""
    try:
        _log_missing_params(mlflow, run_id, values)
    except MlflowException:  # another process logged them since we looked
        _log_missing_params(mlflow, run_id, values)


def _trial_params(trial: Trial, config: Config) -> dict[str, str]:
    """What tells a trial from others: lambda, seed, and, as ``cfg.*``, the preset and what differs from it.

    The UI prints all parameters of a run into each tile of its image series; the parent run has the full list.
    """
    given = PRESETS[config.preset].flat()
    changed = {name: value for name, value in config.public.flat().items() if value != given.get(name)}
    changed = {name: value for name, value in changed.items() if name not in ("lambdas", "seeds")}
    settings: dict[str, SettingValue] = {"preset": config.preset, **changed}
    named = {f"cfg.{name}": _text(value) for name, value in settings.items()}
    return {LAMBDA: lambda_text(trial.gp_lambda), SEED: str(trial.seed), **named}


def _log_missing_params(mlflow: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    known = mlflow.get_run(run_id).data.params
    for name, value in values.items():
        if known.get(name, value) != value:
            raise ValueError(f"{name}={value!r}: run {run_id} already has {known[name]!r}; start a new run")
    params = [Param(name, value) for name, value in values.items() if name not in known]
    for start in range(0, len(params), PARAMS_AT_ONCE):
        mlflow.log_batch(run_id, params=params[start : start + PARAMS_AT_ONCE])


def _text(value: object) -> str:
    """The value as a parameter; one that is too long ends in its digest, so that two never look alike."""
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) <= PARAM_LENGTH:
        return text
    digest = f"... sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return text[: PARAM_LENGTH - len(digest)] + digest


def open_parent(experiment: str, run_key: str, config: Config, tags: Mapping[str, str], tracking_uri: str = "") -> str:
    """Run id of the pipeline run's parent run, found by ``run_key`` or created, and RUNNING again.

    Logs the configuration as parameters ``cfg.*`` and as ``config.json``, both without what signs in. Raises ValueError
    where the run of that key was made with another configuration.
    """
    run_id = find_or_create_parent(experiment, run_key, config, tags, tracking_uri)
    describe_parent(run_id, config, tags, tracking_uri)
    return run_id


def find_or_create_parent(
    experiment: str, run_key: str, config: Config, tags: Mapping[str, str], tracking_uri: str = ""
) -> str:
    """Run id of the parent run of that key, RUNNING; inside a task of Kubeflow's MLflow plugin the plugin's top run."""
    mlflow = client(tracking_uri, make=True)
    if announced := os.environ.get("MLFLOW_RUN_ID", ""):
        return _adopt(mlflow, announced, run_key)
    name = tags.get("kfp.pipeline_run_id") or run_key
    key, other = {RUN_KEY: run_key}, {RUN_NAME: f"{config.preset} {name[:8]}", KIND: "pipeline"}
    return find_or_create(mlflow, ensure_experiment(experiment, tracking_uri=tracking_uri), key, other)


def describe_parent(run_id: str, config: Config, tags: Mapping[str, str], tracking_uri: str = "") -> None:
    """Log what a parent run rests on: configuration, code, image, packages. Raises ValueError as ``open_parent``."""
    mlflow = client(tracking_uri)
    _log_params(mlflow, run_id, config.public.flat())
    all_tags = {**environment.source_tags(), **heartbeat.beat(tracking_uri), **tags}
    mlflow.log_batch(run_id, tags=[RunTag(name, value) for name, value in all_tags.items() if value])
    settings = json.dumps(codec.encode(config.public), indent=2)
    log_document(mlflow, run_id, CONFIG_FILE, settings)
    mlflow.log_text(run_id, environment.packages(), environment.ENVIRONMENT_FILE)


def _adopt(mlflow: MlflowClient, announced: str, run_key: str) -> str:
    """Top run above the run that the plugin announced, marked as ours."""
    run = mlflow.get_run(announced)
    *_, run = _upwards(mlflow, run)
    mlflow.set_tag(run.info.run_id, RUN_KEY, run_key)
    mlflow.set_tag(run.info.run_id, KIND, "pipeline")
    return run.info.run_id


def open_trial(parent_id: str, trial: Trial, config: Config, tracking_uri: str = "") -> str:
    """Run id of the trial's child run, found by its tags or created, and RUNNING again."""
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    key = {PARENT: parent_id, TRIAL: trial.name}
    tags = {RUN_NAME: trial.name, KIND: TRIAL_KIND, **environment.origin_tags(), RUN_COLOUR: _colour(trial, config)}
    run_id = find_or_create(mlflow, experiment, key, tags)
    log_params(mlflow, run_id, _trial_params(trial, config))
    inputs = mlflow.get_run(parent_id).inputs
    if inputs and inputs.dataset_inputs:
        mlflow.log_inputs(run_id, inputs.dataset_inputs)  # the same digest twice is one input
    return run_id


def _colour(trial: Trial, config: Config) -> str:
    """Colour of the trial's lambda, which the report uses too: trials that differ by their seed look alike."""
    lambdas = sorted({*config.lambdas, trial.gp_lambda})
    return COLOURS[lambdas.index(trial.gp_lambda) % len(COLOURS)]


def find_trial(parent_id: str, trial: Trial, tracking_uri: str = "") -> str | None:
    """Run id of the trial's child run, or None."""
    mlflow = client(tracking_uri)
    experiment = mlflow.get_run(parent_id).info.experiment_id
    runs = find_runs(mlflow, [experiment], {PARENT: parent_id, TRIAL: trial.name})
    return runs[0].info.run_id if runs else None


def set_tags(run_id: str, tags: Mapping[str, str], tracking_uri: str = "") -> None:
    """Set tags of a run; empty values are left out."""
    given = [RunTag(name, _storable(str(value))) for name, value in tags.items() if value]
    client(tracking_uri).log_batch(run_id, tags=given)


def _storable(text: str) -> str:
    """The text without what no database takes, such as the bytes of a file's name that are no letters."""
    return text.encode(errors="replace").decode()


def log_artifact(run_id: str, path: Path, folder: str = "", tracking_uri: str = "") -> None:
    """Store a file, or a folder's content, as an artifact of the run; the same name replaces the old one."""
    mlflow = client(tracking_uri)
    log = mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact
    log(run_id, str(path), folder or None)


def log_dataset(run_id: str, dataset: Path, summary: MinoritySummary, tracking_uri: str = "") -> None:
    """Record the data set folder as an input of the run, its manifest and summary as artifacts.

    The same digest twice is one input.
    """
    mlflow, data_digest = client(tracking_uri), summary.data_digest
    profile = {"label": summary.label, "train_counts": dict(summary.train_counts), "missing": summary.missing}
    source, profile = json.dumps({"data_digest": data_digest}), json.dumps(profile)
    name = f"{summary.whole.source} {summary.whole.subset}".strip()
    entity = Dataset(
        f"{name}, {summary.name}"[:DATASET_LENGTH], data_digest[:DIGEST_LENGTH], "mammogan", source, profile=profile
    )
    mlflow.log_inputs(run_id, [DatasetInput(entity, [InputTag("mlflow.data.context", "training")])])
    log_document(mlflow, run_id, SUMMARY_FILE, (dataset / SUMMARY_FILE).read_text())
    log_manifest(run_id, dataset / MANIFEST_FILE, tracking_uri)
    mlflow.set_tag(run_id, DATA_DIGEST, data_digest)  # the last: it says that the files are there


def log_manifest(run_id: str, manifest: Path, tracking_uri: str = "") -> None:
    """Store a data set's manifest as an artifact of the run, its sha256 as a tag."""
    mlflow = client(tracking_uri)
    mlflow.log_artifact(run_id, str(manifest))
    mlflow.set_tag(run_id, SHA256[MANIFEST_FILE], storage.sha256_of(manifest))


def log_document(mlflow: MlflowClient, run_id: str, name: str, text: str) -> None:
    """Store a text as an artifact of the run, and its sha256 as a tag, by which readers know it."""
    mlflow.log_text(run_id, text, name)
    mlflow.set_tag(run_id, SHA256[name], hashlib.sha256(text.encode()).hexdigest())


def log_decision(parent_id: str, decision: Decision, tracking_uri: str = "") -> None:
    """Store the selection's decision as ``decision.json`` of the parent run, its verdict as a tag.

    By what the winner was chosen stands there as metrics too: MLflow's page folds the trials in and draws nothing else.
    """
    mlflow = client(tracking_uri)
    log_document(mlflow, parent_id, DECISION_FILE, results.document(decision).decode())
    if (winner := decision.winner) is not None:
        points.log_latest(mlflow, parent_id, results.charted(winner.decided_by()), winner.epoch)
    mlflow.set_tag(parent_id, VERDICT, decision.verdict[:TAG_LENGTH])


def log_result(parent_id: str, result: WinnerResult, tracking_uri: str = "") -> None:
    """Store the winner's figures on test images as ``result.json`` of the parent run, the sentence of them as a tag."""
    mlflow = client(tracking_uri)
    log_document(mlflow, parent_id, RESULT_FILE, results.document(result).decode())
    if result.subgroups is not None:
        table = subgroups_table(result.subgroups).document()
        log_table(mlflow, parent_id, SUBGROUPS_FILE, table)
    set_tags(parent_id, {RESULT: wording.sentence(result)[:TAG_LENGTH]}, tracking_uri)


def close(run_id: str, status: str, reason: str = "", tracking_uri: str = "") -> None:
    """End a run: FINISHED, FAILED or KILLED, with the reason as a tag."""
    mlflow = client(tracking_uri)
    mlflow.log_batch(run_id, tags=[RunTag(STATUS, status.lower()), RunTag(REASON, _storable(reason[:TAG_LENGTH]))])
    mlflow.set_terminated(run_id, status)


def close_stopped(run_key: str, reason: str, tracking_uri: str = "") -> None:
    """End the run of that key and its trials as KILLED, where it was opened and has not ended."""
    parent_id = find_parent(run_key, tracking_uri)
    if parent_id is not None and client(tracking_uri).get_run(parent_id).info.status == "RUNNING":
        close_trials(parent_id, reason, tracking_uri)
        close(parent_id, "KILLED", reason, tracking_uri)


def close_trials(
    parent_id: str, reason: str, tracking_uri: str = "", failed: Mapping[str, str] | None = None
) -> list[str]:
    """End every child run that is still RUNNING as KILLED with the reason; returns their names.

    Those of the trials in ``failed`` end as FAILED with their own reason.
    """
    mlflow, reasons = client(tracking_uri), failed or {}
    experiment = mlflow.get_run(parent_id).info.experiment_id
    running = [run for run in find_runs(mlflow, [experiment], {PARENT: parent_id}) if run.info.status == "RUNNING"]
    for run in running:
        own = reasons.get(run.data.tags.get(TRIAL, ""))
        close(run.info.run_id, "KILLED" if own is None else "FAILED", reason if own is None else own, tracking_uri)
    return [run.data.tags[RUN_NAME] for run in running]
