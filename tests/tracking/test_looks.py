"""Looks at a test set: whatever is told twice, after a kill or because an answer was lost, is one look."""

import shutil

import mlflow_servers
import pytest
from mlflow import MlflowClient

from mammogan import tracking
from mammogan.tracking import database as databases
from mammogan.tracking import looks
from mammogan.tracking.server import find_runs

FIRST, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def client(empty_database, tmp_path, monkeypatch):
    file = shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases.address_of(file))
    return tracking.client()


@pytest.fixture
def run(client, tmp_path):
    experiment = tracking.ensure_experiment("looks", str(tmp_path / "artifacts"))
    return client.create_run(experiment).info


@pytest.mark.parametrize("call", [1, 2])
def test_a_run_that_is_killed_while_it_tells_of_other_data_has_looked_at_each_once(client, run, monkeypatch, call):
    assert looks.look(run.run_id, FIRST) == 1
    real, calls = MlflowClient.set_tag, []

    def dying(*arguments, **named):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_tag", dying)
        with pytest.raises(KeyboardInterrupt):
            looks.look(run.run_id, OTHER)
    assert (looks.count(FIRST), looks.count(OTHER)) == (1, 0)
    for _ in range(2):
        assert looks.look(run.run_id, OTHER) == 1
        assert looks.count(FIRST) == 1


def test_a_run_that_comes_back_to_earlier_data_is_one_look_at_them(client, run):
    assert [looks.look(run.run_id, digest) for digest in (FIRST, OTHER, FIRST, OTHER)] == [1, 1, 1, 1]
    assert (looks.count(FIRST), looks.count(OTHER)) == (1, 1)


def test_a_look_by_hand_whose_first_answer_was_lost_is_one(client, run, monkeypatch):
    """The client asks again, and the server has made both."""
    with monkeypatch.context() as patch:
        mlflow_servers.lose_first_answers(patch, "create_run")
        assert looks.look_by_hand(run.run_id, FIRST, "by hand") == 1
    (look,) = find_runs(client, [run.experiment_id], {"mammogan.kind": looks.LOOK})
    assert look.info.status == "FINISHED"
    assert looks.look_by_hand(run.run_id, FIRST, "by hand") == 2
