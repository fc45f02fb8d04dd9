"""Where a run stands while it goes on: its status, the record of its steps, and how far each trial has trained."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mammogan.addresses import masked
from mammogan.ledger import Ledger
from mammogan.results import GENERATOR_LOSS, WASSERSTEIN
from mammogan.tracking import ledger
from mammogan.tracking.runs import find_parent, set_tags
from mammogan.tracking.server import GIVEN_UP, KIND, PARENT, REASON, STOP_ASKED, TRIAL, client, find_runs

RETRIES = "1"
TIMEOUT_S = "10"


class UnreadableError(RuntimeError):
    """MLflow is away, or refuses, or holds what this version cannot read; says which in one line."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Whether it is worth waiting: it is away or fails, and has not refused."""


@dataclass(frozen=True)
class Losses:
    """What a trial last logged of its training."""

    epoch: int
    wasserstein: float
    generator_loss: float


@dataclass(frozen=True)
class Standing:
    """A parent run as one look at MLflow shows it."""

    run_id: str
    experiment_id: str
    status: str
    """RUNNING, or how it ended: FINISHED, FAILED or KILLED."""
    reason: str
    """Why it ended so; empty for FINISHED and while it runs."""
    ledger: Ledger
    epochs: int
    """Epochs of a training; 0 where that is not known yet."""
    losses: Mapping[str, Losses]
    """Latest of each trial that trains or has trained, by its name."""


def find_experiment(experiment: str, tracking_uri: str) -> str:
    """Id of the experiment, by which its page is found; empty where there is none yet. Raises ``UnreadableError``."""
    with _brief(tracking_uri):
        existing = client(tracking_uri).get_experiment_by_name(experiment)
        return existing.experiment_id if existing else ""


def find_standing(run_key: str, tracking_uri: str) -> Standing | None:
    """Where the run of that key stands; None where its parent was not opened. Raises ``UnreadableError``."""
    with _brief(tracking_uri):
        parent = find_parent(run_key, tracking_uri)
        mlflow = client(tracking_uri)
        return _standing(mlflow, mlflow.get_run(parent)) if parent else None


def ask_to_stop(run_id: str, tracking_uri: str) -> None:
    """Leave word in the parent run that somebody ended it on purpose. Raises ``UnreadableError``."""
    with _brief(tracking_uri):
        set_tags(run_id, {STOP_ASKED: str(time.time_ns() // 1_000_000)}, tracking_uri)


def withdraw_stop(run_id: str, tracking_uri: str) -> None:
    """Take that word back, where the run could not be ended. Raises ``UnreadableError``."""
    with _brief(tracking_uri):
        client(tracking_uri).set_tag(run_id, STOP_ASKED, "")


def tell_given_up(run_id: str, reason: str, tracking_uri: str) -> None:
    """Leave word in the parent run that it is ended because nothing of it could run. Raises ``UnreadableError``."""
    with _brief(tracking_uri):
        set_tags(run_id, {GIVEN_UP: reason}, tracking_uri)


def _in_words(error: MlflowException | ValueError) -> str:
    """A server that is away in two words, where its client tells of pools and retries; else the first line."""
    from requests import ConnectionError as NoConnection
    from requests import Timeout

    if isinstance(error.__context__, NoConnection | Timeout):
        return "no answer"
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _may_pass(error: MlflowException | ValueError) -> bool:
    return isinstance(error, MlflowException) and error.get_http_status_code() not in (400, 401, 403, 404)


def _standing(mlflow: MlflowClient, run: Run) -> Standing:
    children = find_runs(mlflow, [run.info.experiment_id], {PARENT: run.info.run_id, KIND: "trial"})
    losses = {child.data.tags[TRIAL]: values for child in children if (values := _losses(child))}
    return Standing(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        reason=run.data.tags.get(REASON, ""),
        ledger=ledger.read(run),
        epochs=int(run.data.params.get("cfg.train.epochs", 0)),
        losses=losses,
    )


def _losses(child: Run) -> Losses | None:
    """Of the client's objects only the protobuf tells at which step a metric was logged."""
    latest = {metric.key: metric for metric in child.data.to_proto().metrics}
    if not {WASSERSTEIN, GENERATOR_LOSS} <= latest.keys():
        return None
    return Losses(int(latest[WASSERSTEIN].step), latest[WASSERSTEIN].value, latest[GENERATOR_LOSS].value)


@contextmanager
def _brief(tracking_uri: str) -> Generator[None]:
    """Ask once and not for long: who follows a run looks again in a few seconds."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": RETRIES, "MLFLOW_HTTP_REQUEST_TIMEOUT": TIMEOUT_S}
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        yield
    except (MlflowException, ValueError) as error:
        message = f"MLflow at {masked(tracking_uri)} cannot be read: {_in_words(error)}"
        raise UnreadableError(message, may_pass=_may_pass(error)) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
