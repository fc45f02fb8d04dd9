"""The lock that processes share through MLflow: one at a time, and what the dead left is taken once."""

import shutil
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mammogan import tracking
from mammogan.registry import lock
from mammogan.tracking import database as databases
from mammogan.tracking import heartbeat


@pytest.fixture
def client(empty_database, tmp_path, monkeypatch):
    file = shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", databases.address_of(file))
    return tracking.client()


def locks(client):
    return {model.name: model.tags[lock.OWNER] for model in client.search_registered_models()}


def leave(client, subject, owner, process="elsewhere:1"):
    """A lock as a process on another machine leaves it that was killed."""
    client.create_registered_model(lock.name_of(subject), {lock.OWNER: owner, heartbeat.PROCESS: process})


def test_one_at_a_time_and_nothing_is_left(client):
    with lock.held(client, "model", 0) as first:
        assert first
        with lock.held(client, "model", 0) as second, lock.held(client, "other", 0) as other:
            assert (second, other) == (False, True)
        assert set(locks(client)) == {"model.lock"}
    with lock.held(client, "model", 0) as after:
        assert after
    assert locks(client) == {}


def test_a_holder_that_lets_go_while_mlflow_reads_whose_the_name_is_keeps_nobody_out(client, monkeypatch):
    """MLflow answers a name that is taken by the model of that name, and that there is none where it went meanwhile."""
    real, refused = MlflowClient.create_registered_model, []

    def create(self, name, *given):
        if not refused:
            refused.append(name)
            raise MlflowException(f"Registered Model with name={name} not found", RESOURCE_DOES_NOT_EXIST)
        return real(self, name, *given)

    monkeypatch.setattr(MlflowClient, "create_registered_model", create)
    with lock.held(client, "model", 5) as mine:
        assert mine


def test_who_comes_late_to_the_lock_of_a_dead_one_leaves_it_to_who_took_it(client, monkeypatch):
    leave(client, "model", "dead")
    with monkeypatch.context() as patch:
        patch.setattr(lock, "STALE_S", -1.0)
        others = []

        def is_dead(holder, seen):
            """Found dead, and then, before it is removed, somebody else removes and takes it."""
            if holder.tags[lock.OWNER] == "dead" and not others:
                others.append(lock.held(client, "model", 5))
                assert others[0].__enter__()
            return holder.tags[lock.OWNER] == "dead"

        patch.setattr(lock, "_is_dead", is_dead)
        with lock.held(client, "model", 0) as mine:
            assert not mine
    (holder,) = locks(client).values()
    assert holder != "dead"
    others[0].__exit__(None, None, None)
    assert locks(client) == {}


def test_of_those_who_find_a_holder_dead_one_removes_it(client, monkeypatch):
    """Whoever looks, and removes by name, could remove what another took between the two."""
    leave(client, "model", "dead")
    leave(client, "dead", "remover")
    with monkeypatch.context() as patch:
        patch.setattr(lock, "_is_dead", lambda holder, _: holder.tags[lock.OWNER] == "dead")
        with lock.held(client, "model", 0) as mine:
            assert not mine
        assert locks(client) == {"model.lock": "dead", "dead.lock": "remover"}
        patch.setattr(lock, "_is_dead", lambda *_: True)  # the remover died too
        with lock.held(client, "model", 5) as mine:
            assert mine
    assert locks(client) == {}


def test_a_holder_that_was_taken_for_dead_removes_nobody_elses_lock(client):
    with lock.held(client, "model", 0):
        client.delete_registered_model("model.lock")
        leave(client, "model", "other")
    assert locks(client) == {"model.lock": "other"}


def test_signs_of_life_keep_a_lock_however_long_its_work_takes(client, monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.02)
    monkeypatch.setattr(lock, "STALE_S", 0.5)
    with lock.held(client, "model", 0) as mine:
        assert mine
        with lock.held(client, "model", 1) as second:
            assert not second
    leave(client, "model", "dead")
    started = time.monotonic()
    with lock.held(client, "model", 10) as mine:
        assert mine
    assert time.monotonic() - started > 0.5
