"""Whether a cluster can carry the experiment: ``make test-kubeflow``. In this order; each case uses the one before."""

import os
import re
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from mammogan import addresses
from mammogan.tracking.server import REASON

pytestmark = [pytest.mark.kubeflow, pytest.mark.timeout(3 * 3600)]

SOURCE = os.environ.get("KUBEFLOW_SOURCE", "")
LONG = {"train.epochs": 1500, "train.snapshot_every": 1500, "train.checkpoint_every": 5}
"""Minutes of training at 28 px, with a checkpoint every few seconds."""


@pytest.fixture(scope="module", autouse=True)
def _ready(cluster):
    """What preflight refuses would only fail later and slower."""
    source = ["--source", SOURCE] if SOURCE else []
    store = cluster.store.rpartition("/")[0]
    checked = cluster.command("preflight", "--image", cluster.image, "--store", store, *source, *cluster.options)
    if checked.ended(1200):
        problems = [line for line in checked.output.splitlines() if not line.startswith("ok ")]
        pytest.exit("preflight: " + "; ".join(problems), returncode=1)


def test_mlflow_refuses_whoever_does_not_sign_in(cluster):
    address, user, _ = addresses.sign_in_of(cluster.tracking_uri)
    if not (user or os.environ.get("MLFLOW_TRACKING_USERNAME") or os.environ.get("MLFLOW_TRACKING_TOKEN")):
        pytest.skip("no sign-in at MLflow was given: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    api = f"{address.rstrip('/')}/api/2.0"
    for request in (
        urllib.request.Request(f"{api}/mlflow/experiments/search?max_results=1"),
        urllib.request.Request(f"{api}/mlflow-artifacts/artifacts/0/x/artifacts/x", data=b"code", method="PUT"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, timeout=30)
        with refusal.value as answer:
            assert answer.code == 401, f"{request.method or 'GET'} {request.full_url} without a sign-in"


def test_a_run_ends_well(cluster, row):
    run = cluster.submit()
    run.ended()
    row("a run ends well", run)
    assert run.process.returncode == 0, run.output[-3000:]
    parent = cluster.parent(run.run_id())
    assert parent.info.status == "FINISHED"
    assert [child.info.status for child in cluster.children(parent)] == ["FINISHED"]
    aliases = cluster.mlflow().get_registered_model(cluster.name).aliases
    assert str(aliases["champion"]) == "1"
    assert {"report", "decision.json"} <= {item.path for item in cluster.mlflow().list_artifacts(parent.info.run_id)}


def test_a_run_that_fails_says_where_and_why(cluster, row):
    # below the source where one was named: a key of its own may not look anywhere else
    run = cluster.submit(source=f"{SOURCE.rstrip('/') or cluster.store}/nothing-there")
    run.ended()
    row("a run fails", run)
    assert run.process.returncode == 1, run.output[-3000:]
    parent = cluster.parent(run.run_id())
    assert parent.info.status == "FAILED"
    assert parent.data.tags[REASON].startswith("ingest: ")
    assert "nothing-there" in run.last
    assert "not a known layout" in run.last, "another reason than that there is nothing"


def paces(cluster, parent):
    """Milliseconds since 1970 at which each epoch of the only trial was logged, in the order of the epochs."""
    (child,) = cluster.children(parent)
    history = cluster.mlflow().get_metric_history(child.info.run_id, "train/wasserstein")
    return [point.timestamp for point in sorted(history, key=lambda point: point.step)]


@pytest.fixture(scope="module")
def stopped(cluster):
    """A run that was stopped while it trained: what stopped it, what followed it, and its record."""
    run = cluster.submit(**LONG)
    run.until(r"train of \S+: running: epoch ([3-9]\d|[1-9]\d\d) ")
    stop = cluster.command("stop", run.run_id())
    assert stop.ended(600) == 0, stop.output
    run.ended()
    return run, cluster.parent(run.run_id())


def test_a_run_that_is_stopped_is_killed_in_both(cluster, row, stopped):
    run, parent = stopped
    row("a run is stopped", run)
    assert run.process.returncode == 1
    assert parent.info.status == "KILLED"
    assert "terminated in train of lambda=3,seed=0" in parent.data.tags[REASON]
    state = cluster.server.call("ask", cluster.server.runs.run_service_get_run, run.run_id()).state
    assert state in ("CANCELED", "CANCELING", "FAILED")


def test_the_same_again_goes_on_where_it_was_stopped(cluster, row, stopped):
    _, before = stopped
    first = paces(cluster, before)
    assert len(first) > 20, "it was stopped before it had trained"
    run = cluster.submit(**LONG)
    run.ended()
    row("the same goes on", run)
    assert run.process.returncode == 0, run.output[-3000:]
    parent = cluster.parent(run.run_id())
    second = paces(cluster, parent)
    assert parent.info.status == "FINISHED"
    assert len(second) == LONG["train.epochs"]
    reached = len(first) - 10  # a checkpoint every five steps
    took, took_first = (epochs[reached] - epochs[0] for epochs in (second, first))
    assert took < took_first / 2, f"{reached} epochs were trained anew: {took} ms, at first {took_first} ms"


def test_a_schedule_fires_trains_nothing_twice_and_is_removed(cluster, row):
    begun = datetime.now(UTC)
    soon = begun + timedelta(minutes=2)  # once an hour, so that a suite that is killed here leaves no flood of runs
    applied = cluster.command("schedule", "--file", cluster.schedule_file(f"0 {soon.minute} * * * *"))
    assert applied.ended(600) == 0, applied.output
    deadline = time.monotonic() + 400
    while not (fired := [run for run in cluster.runs() if run.recurring_run_id]):
        assert time.monotonic() < deadline, f"no run since {begun:%H:%M:%S} UTC; look at ml-pipeline-scheduledworkflow"
        time.sleep(5)
    run_id = fired[0].run_id
    removed = cluster.command("schedule", "--file", cluster.schedule_file(""))
    assert removed.ended() == 0, removed.output
    assert re.search(r"1 changes? made, 0 schedules", removed.output), removed.output
    parent = cluster.parent(run_id)
    reason = parent.data.tags.get("mammogan.retraining", "")
    row("a schedule fires", applied, reason)
    assert parent.info.status == "FINISHED", "the run in flight was waited for before its schedule was removed"
    assert reason.startswith("nothing to train: ")
    assert not cluster.children(parent)
