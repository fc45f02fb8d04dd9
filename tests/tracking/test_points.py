"""Numbers that two processes log at once are there once."""

import shutil

import pytest
from mlflow import MlflowClient
from sample_run import snapshot_evaluation

from mammogan import config, tracking
from mammogan.config import Trial
from mammogan.selection.ranking import select
from mammogan.tracking import database as databases
from mammogan.tracking.findings import log_results
from mammogan.tracking.reference import log_reference
from mammogan.tracking.server import KIND, REFERENCE_KIND, find_runs

CONFIG = config.PRESETS["demo"]
EVALUATIONS = [snapshot_evaluation(Trial(3.0, 0), 4, 0.2)]


@pytest.fixture
def client(empty_database, tmp_path, monkeypatch):
    file = shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases.address_of(file))
    monkeypatch.setattr("mammogan.tracking.runs.SETTLE_S", 0.0)
    tracking.ensure_experiment("points", str(tmp_path / "artifacts"))
    return tracking.client()


WRITES = {
    "results": lambda parent: log_results(parent, {"memorised": 0.5, "auc": 0.1}),
    "decision": lambda parent: tracking.log_decision(parent, select(EVALUATIONS, CONFIG.select)),
    "reference": lambda parent: log_reference(parent, EVALUATIONS),
}


@pytest.mark.parametrize("kind", WRITES)
def test_what_another_process_logs_between_a_look_and_a_write_is_there_once(client, monkeypatch, kind):
    parent = tracking.open_parent("points", kind, CONFIG, {})
    real, others = MlflowClient.log_batch, []

    def late(self, run_id, metrics=(), **named):
        if metrics and not others:
            others.append(kind)
            WRITES[kind](parent)
        return real(self, run_id, metrics=metrics, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", late)
        WRITES[kind](parent)
    assert others
    ids = [client.get_run(parent).info.experiment_id]
    (run,) = find_runs(client, ids, {KIND: REFERENCE_KIND}) if kind == "reference" else [client.get_run(parent)]
    assert {name: len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics} == dict.fromkeys(
        run.data.metrics, 1
    )
    assert run.data.metrics


def test_the_value_that_was_logged_last_is_the_latest_also_where_it_is_smaller(client):
    parent = tracking.open_parent("points", "last", CONFIG, {})
    for value in (0.5, 0.5, 0.25, 0.5, 0.25):
        log_results(parent, {"memorised": value})
        assert client.get_run(parent).data.metrics["memorised"] == value
    assert [point.value for point in client.get_metric_history(parent, "memorised")] == [0.5, 0.25, 0.5, 0.25]
