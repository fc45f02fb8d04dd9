"""Ending a run by the record of its steps: the parent with its true status, and what is left of its trials."""

from __future__ import annotations

import dataclasses
import json

from mammogan import cluster
from mammogan.config import Trial
from mammogan.ledger import Ending, Fate, Status, ending
from mammogan.tracking import ledger
from mammogan.tracking.runs import close, close_trials
from mammogan.tracking.server import CLUSTER, GIVEN_UP, STOP_ASKED, WORKFLOW, client

GONE = "its workflow is no longer there: the run, or the schedule that started it, was deleted"
OTHERS = "the run ended before this trial did"


def end(run_id: str, fate: Fate, why: str = "", tracking_uri: str = "") -> Ending:
    """Close the parent run and its trials as its record and ``fate`` say; ``why`` stands before the reason.

    A trial whose pod was lost is FAILED with the cause, another one that still counts as running KILLED.
    """
    mlflow = client(tracking_uri)
    run = mlflow.get_run(run_id)
    if given_up := run.data.tags.get(GIVEN_UP):
        fate, why = dataclasses.replace(fate, terminated=False), given_up
    elif run.data.tags.get(STOP_ASKED):
        fate = dataclasses.replace(fate, terminated=True)
    ended = ending(ledger.read(run), _trials(run.data.params), fate)
    if why and ended.status is not Status.FINISHED:
        ended = dataclasses.replace(ended, reason="; ".join(filter(None, (why, ended.reason))))
    close_trials(
        run_id, OTHERS if ended.status is not Status.KILLED else ended.reason, tracking_uri, ended.failed_trials
    )
    close(run_id, ended.status, ended.reason, tracking_uri)
    return ended


def end_if_over(run_id: str, tracking_uri: str = "") -> Ending | None:
    """End a run whose workflow is over or gone although it counts as running; None where it goes on, or who knows.

    Kubernetes is asked, which only a pod of the same namespace may do: elsewhere nothing is known.
    """
    tags = client(tracking_uri).get_run(run_id).data.tags
    workflow = tags.get(WORKFLOW, "")
    state = cluster.state_of(workflow, tags.get(CLUSTER, "")) if workflow else cluster.Presence.UNKNOWN
    if state is cluster.Presence.GONE:
        return end(run_id, Fate(terminated=True), GONE, tracking_uri)
    if state is cluster.Presence.OVER:
        return end(run_id, cluster.fate(workflow, ledger.read_ledger(run_id, tracking_uri)), "", tracking_uri)
    return None


def _trials(params: dict[str, str]) -> list[str]:
    """Names of the run's trials, by its parameters; none where it never got that far."""
    lambdas, seeds = (json.loads(params.get(f"cfg.{name}", "[]")) for name in ("lambdas", "seeds"))
    return [Trial(float(gp_lambda), int(seed)).name for gp_lambda in lambdas for seed in seeds]
