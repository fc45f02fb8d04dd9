"""Runs in MLflow: found again instead of made twice, every point once, true statuses, and read back whole."""

import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from sample_run import evaluation, grid, rare_class, training

from mammogan import tracking
from mammogan.codec import OlderFormatError
from mammogan.config import PRESETS, Trial, override
from mammogan.data import summary
from mammogan.graph import Step
from mammogan.ledger import State, Task
from mammogan.results import Decision, Network, TrialStatus
from mammogan.tracking import spool
from mammogan.tracking.server import CONFIG_FILE, SHA256
from mammogan.tracking.trial_log import UnrecordedError

CONFIG = PRESETS["demo"]
TRIAL = Trial(0.5, 0)


@pytest.fixture(autouse=True)
def mlflow(database, tmp_path, monkeypatch):
    """Client of a database with a fresh experiment of the test's own name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setattr(spool, "SEND_EVERY_S", 0.02)
    monkeypatch.setattr(spool, "LONGEST_PAUSE_S", 0.05)
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture
def parent(tmp_path):
    return tracking.open_parent(tmp_path.name, tmp_path.name, CONFIG, {"kfp.pipeline_run_id": "job-1"})


def runs(mlflow, name):
    experiment = mlflow.get_experiment_by_name(name)
    return mlflow.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)


def test_parent_is_found_by_its_key_and_runs_again(mlflow, parent, tmp_path):
    mlflow.set_terminated(parent, "FAILED")
    assert tracking.open_parent(tmp_path.name, tmp_path.name, CONFIG, {}) == parent
    assert tracking.find_parent(tmp_path.name) == parent
    assert tracking.find_parent("other") is None
    run = mlflow.get_run(parent)
    assert run.info.status == "RUNNING"
    assert run.data.params["cfg.train.epochs"] == str(CONFIG.train.epochs)
    assert run.data.params["cfg.lambdas"] == "[0.5, 3.0, 5.0]"
    assert run.data.tags["kfp.pipeline_run_id"] == "job-1"
    assert tracking.read_run(parent).config == CONFIG
    assert len(runs(mlflow, tmp_path.name)) == 1


def test_a_trial_whose_run_was_deleted_waits_for_nobody(mlflow, parent, monkeypatch):
    """MLflow answers that there is no such run, which no waiting changes."""
    begun = time.monotonic()
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        log.metrics(1, {"train/wasserstein": 1.0})
        mlflow.delete_run(log.run_id)
        monkeypatch.setattr("mammogan.tracking.heartbeat.EVERY_S", 0.0)
        log.metrics(2, {"train/wasserstein": 1.0})
        log.finish(training(TRIAL))
    assert time.monotonic() - begun < 60  # not ten minutes
    assert not log._spool._path.exists()


def ends(log):
    """Whether the thread of a closed log ends, now that the server takes what is left."""
    log._spool._thread.join(60)
    return not log._spool._thread.is_alive()


def entry_of(parent):
    return tracking.read_ledger(parent).entries.get(Task(Step.TRAIN, TRIAL.name))


def test_the_parent_hears_how_a_trial_ended_whose_own_run_was_deleted(mlflow, parent):
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        mlflow.delete_run(log.run_id)
        log.finish(training(TRIAL))
    assert entry_of(parent).state is State.DONE


@pytest.mark.parametrize("call", ["log_batch", "log_text"])
def test_a_record_that_is_not_taken_fails_the_step_when_it_ends(mlflow, parent, monkeypatch, call):
    """And is kept, so that the next start sends it."""

    def answers_500(*_, **__):
        raise MlflowException("no disk", error_code=INTERNAL_ERROR)

    with monkeypatch.context() as broken:
        log = tracking.trial_log(parent, TRIAL, CONFIG, step="train")
        log._patience_s = 0.5
        broken.setattr(MlflowClient, call, answers_500)
        log.__enter__()
        log.metrics(1, {"train/wasserstein": 1.0})
        log.finish(training(TRIAL))
        until = time.monotonic() + 60
        while log._spool.trouble is None and time.monotonic() < until:
            time.sleep(0.02)
        with pytest.raises(UnrecordedError, match=r"record of train of lambda=0.5,seed=0 \(.*no disk\); run it again"):
            log.__exit__(None, None, None)
    again = tracking.trial_log(parent, TRIAL, CONFIG, step="train")
    assert again.close()
    assert entry_of(parent).state is State.DONE
    assert ends(log)


def test_a_server_that_refuses_the_record_of_a_living_run_fails_the_step(mlflow, parent, monkeypatch):
    real = MlflowClient.log_text

    def refuses(self, run_id, text, name):
        if name == "trial.json":
            raise MlflowException("too long", error_code=INVALID_PARAMETER_VALUE)
        return real(self, run_id, text, name)

    monkeypatch.setattr(MlflowClient, "log_text", refuses)
    with (
        pytest.raises(UnrecordedError, match="too long"),
        tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log,
    ):
        log.finish(training(TRIAL))


def test_an_error_of_the_work_goes_before_one_of_its_record(mlflow, parent, monkeypatch):
    def answers_500(*_, **__):
        raise MlflowException("no disk", error_code=INTERNAL_ERROR)

    log = tracking.trial_log(parent, TRIAL, CONFIG, step="train")
    log._patience_s = 0.5
    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "log_batch", answers_500)
        with pytest.raises(ZeroDivisionError), log:
            _ = 1 / 0
    assert ends(log)


def test_lambdas_that_differ_in_the_seventh_digit_are_two_in_mlflow_too(mlflow, parent):
    runs_of = [tracking.open_trial(parent, Trial(value, 0), CONFIG) for value in (0.1234567, 0.1234568)]
    assert [mlflow.get_run(run).data.params["lambda"] for run in runs_of] == ["0.1234567", "0.1234568"]


def test_settings_of_another_version_are_said_to_be(mlflow, parent):
    mlflow.log_text(parent, '{"preset": "demo", "model": {"doubling": 1}}', "config.json")
    mlflow.delete_tag(parent, SHA256[CONFIG_FILE])  # which such a version had not
    with pytest.raises(OlderFormatError, match="of an older or a newer one"):
        tracking.read_run(parent)


def test_another_configuration_under_the_same_key_is_refused(parent, tmp_path):
    with pytest.raises(ValueError, match=r"cfg\.preset='paper'.*'demo'"):
        tracking.open_parent(tmp_path.name, tmp_path.name, PRESETS["paper"], {})


def test_processes_that_open_at_once_get_one_run(mlflow, tmp_path, monkeypatch):
    monkeypatch.setattr("mammogan.tracking.runs.SETTLE_S", 6.0)
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: tracking.open_parent(tmp_path.name, "race", CONFIG, {}), range(4)))
    assert len(runs(mlflow, tmp_path.name)) == 1
    assert set(opened) == {runs(mlflow, tmp_path.name)[0].info.run_id}


def test_whoever_comes_while_others_settle_waits_for_their_choice(mlflow, tmp_path, monkeypatch):
    """An older run appears, and the one that was there goes: its creator has seen that it is not the oldest."""
    experiment = tracking.ensure_experiment(tmp_path.name)
    now, kept = int(time.time() * 1000), []
    first = mlflow.create_run(experiment, start_time=now, tags={"mammogan.run_key": "late"}).info.run_id

    def settle(_seconds):
        kept.append(mlflow.create_run(experiment, start_time=now - 5, tags={"mammogan.run_key": "late"}).info.run_id)
        mlflow.delete_run(first)

    monkeypatch.setattr(tracking.runs, "time", SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=settle))
    assert [tracking.runs.find_or_create_parent(tmp_path.name, "late", CONFIG, {})] == kept


def test_a_lost_answer_does_not_make_two_runs(mlflow, tmp_path, monkeypatch):
    """The client sends a request again whose answer was lost; the server has then made the run twice."""
    real = MlflowClient.create_run

    def twice(self, experiment, tags):
        return [real(self, experiment, 1_000_000, tags) for _ in range(2)][-1]

    monkeypatch.setattr(MlflowClient, "create_run", twice)
    for key in map(str, range(8)):  # which twin sorts first is chance
        parent = tracking.open_parent(tmp_path.name, key, CONFIG, {})
        child = tracking.open_trial(parent, TRIAL, CONFIG)
        children = [run for run in runs(mlflow, tmp_path.name) if run.data.tags.get("mlflow.parentRunId") == parent]
        assert [run.info.run_id for run in children] == [child]
    assert len(runs(mlflow, tmp_path.name)) == 16


def test_trial_is_a_child_found_by_its_tags(mlflow, parent):
    child = tracking.open_trial(parent, TRIAL, CONFIG)
    assert tracking.open_trial(parent, TRIAL, CONFIG) == child == tracking.find_trial(parent, TRIAL)
    assert tracking.open_trial(parent, Trial(0.5, 1), CONFIG) != child
    run = mlflow.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params == {"lambda": "0.5", "seed": "0", "cfg.preset": "demo"}


def test_trial_names_what_differs_from_its_preset(mlflow, tmp_path):
    config = override(CONFIG, {"train.epochs": 3, "lambdas": "0.5"})
    child = tracking.open_trial(tracking.open_parent(tmp_path.name, tmp_path.name, config, {}), TRIAL, config)
    assert mlflow.get_run(child).data.params["cfg.train.epochs"] == "3"
    assert len(mlflow.get_run(child).data.params) == 4


def test_kubeflows_announced_run_leads_to_its_top_run(mlflow, tmp_path, monkeypatch):
    experiment = mlflow.get_experiment_by_name(tmp_path.name).experiment_id
    top = mlflow.create_run(experiment, run_name="kfp").info.run_id
    task = mlflow.create_run(experiment, tags={"mlflow.parentRunId": top}, run_name="start").info.run_id
    mlflow.log_param(task, "preset", "demo")  # the plugin logs the component's inputs under their own names
    monkeypatch.setenv("MLFLOW_RUN_ID", task)
    opened = tracking.open_parent(tmp_path.name, tmp_path.name, CONFIG, {})
    assert opened == top == tracking.find_parent(tmp_path.name)
    child = tracking.open_trial(opened, TRIAL, CONFIG)
    assert mlflow.get_run(child).data.tags["mlflow.parentRunId"] == top
    assert mlflow.get_run(task).info.run_name == "start"
    assert os.environ["MLFLOW_RUN_ID"] == task


def test_resumed_training_logs_every_point_once(mlflow, parent, tmp_path):
    for first in (0, 3):  # the second process reports epochs 3 and 4 again, with other values
        with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
            for epoch in range(first, first + 5):
                log.metrics(epoch, {"train/penalty": epoch + first / 10, "x/kid_train": math.nan})
    child = tracking.find_trial(parent, TRIAL)
    history = mlflow.get_metric_history(child, "train/penalty")
    expected = [0, 1, 2, 3, 4, 5.3, 6.3, 7.3]
    assert sorted((m.step, m.value) for m in history) == list(enumerate(expected))
    assert mlflow.get_metric_history(child, "x/kid_train") == []


def test_an_outage_neither_stops_training_nor_loses_a_point(mlflow, parent, monkeypatch):
    calls, real = [], MlflowClient.log_batch

    def flaky(self, *args, **kwargs):
        calls.append(kwargs)
        if len(calls) % 3:
            raise MlflowException("the server is gone")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", flaky)
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        for epoch in range(50):
            log.metrics(epoch, {"train/a": epoch, "train/b": -epoch})
    child = tracking.find_trial(parent, TRIAL)
    for key in ("train/a", "train/b"):
        assert sorted(m.step for m in mlflow.get_metric_history(child, key)) == list(range(50))


def test_what_the_server_refuses_for_good_does_not_block_the_rest(mlflow, parent, capsys):
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        log.metrics(1, {"train/\n": 1.0})
        log.grid(1, Path("gone.png"))
        log.finish(training(TRIAL))
    assert tracking.read_run(parent).trials[0].training.status is TrialStatus.FINISHED
    assert "left out" in capsys.readouterr().err


def test_grids_are_artifacts_and_steps_of_an_image_series(mlflow, parent, tmp_path):
    for _ in range(2):
        with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
            for epoch in (1, 4):
                path = tmp_path / f"epoch_{epoch:04d}.png"
                path.write_bytes(grid(epoch))
                log.grid(epoch, path)
    child = tracking.find_trial(parent, TRIAL)
    names = [item.path for item in mlflow.list_artifacts(child, "images") if item.path.endswith(".png")]
    assert len(names) == 2
    assert any(name.startswith("images/samples+step+4+") for name in names)
    (tmp_path / "epoch_x.png").write_bytes(b"somebody's")
    mlflow.log_artifact(child, str(tmp_path / "epoch_x.png"), "grids")
    assert tracking.read_run(parent).trials[0].grids == {1: grid(1), 4: grid(4)}


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED"), (OSError("disk"), "FAILED")]
)
def test_status_after_an_exception(mlflow, parent, error, status):
    def training():
        with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
            log.metrics(1, {"train/a": 1.0})
            raise error

    with pytest.raises(type(error)):
        training()
    child = mlflow.get_run(tracking.find_trial(parent, TRIAL))
    assert child.info.status == status
    assert child.data.metrics["train/a"] == 1.0


def test_status_over_training_and_evaluation(mlflow, parent):
    trained = training(TRIAL, frozen=Network("random DenseNet121", "0" * 64))
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        log.finish(trained)
    child = tracking.find_trial(parent, TRIAL)
    assert mlflow.get_run(child).info.status == "RUNNING"
    with tracking.trial_log(parent, TRIAL, CONFIG, step="evaluate") as log:
        log.finish(evaluation(TRIAL, []))
    assert mlflow.get_run(child).info.status == "FINISHED"
    record = tracking.read_run(parent).trials[0]
    assert record.training == trained
    assert record.evaluation == evaluation(TRIAL, [])
    assert record.tags["mammogan.frozen"] == "random DenseNet121"


def test_a_diverged_trial_ends_failed_with_its_reason(mlflow, parent):
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        log.finish(training(TRIAL, TrialStatus.DIVERGED, "epoch 2: train/penalty is nan"))
    record = tracking.read_run(parent).trials[0]
    assert (record.status, record.reason) == ("FAILED", "epoch 2: train/penalty is nan")


def test_trials_left_running_are_closed(mlflow, parent):
    child = tracking.open_trial(parent, TRIAL, CONFIG)
    assert tracking.close_trials(parent, "the run ended") == [TRIAL.name]
    assert tracking.close_trials(parent, "again") == []
    assert mlflow.get_run(child).info.status == "KILLED"
    assert tracking.read_run(parent).trials[0].reason == "the run ended"


def test_data_set_is_one_input_and_its_manifest_an_artifact(mlflow, parent, tmp_path):
    (tmp_path / "manifest.csv").write_text("image_id\na\n")
    rare = rare_class("d" * 64)
    summary.write(rare, str(tmp_path))
    for _ in range(2):
        tracking.log_dataset(parent, tmp_path, rare)
    run = mlflow.get_run(parent)
    assert [item.dataset.digest for item in run.inputs.dataset_inputs] == ["d" * 36]
    assert run.data.tags["mammogan.data_digest"] == "d" * 64
    assert {"manifest.csv", "summary.json"} <= {item.path for item in mlflow.list_artifacts(parent)}
    assert tracking.read_run(parent).data == rare


def test_outcome_tells_the_decision_and_brings_the_report(parent, tmp_path):
    tracking.log_decision(parent, Decision("no candidate", reasons=("x",)))
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "report.html").write_text("page")
    tracking.log_artifact(parent, tmp_path / "built", "report")
    outcome = tracking.outcome(tmp_path.name, tmp_path / "report")
    assert outcome.decision.verdict == "no candidate"
    assert outcome.report.read_text() == "page"
    with pytest.raises(LookupError, match="run_key='none'"):
        tracking.outcome("none", tmp_path)


def test_no_server_is_a_value_error(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ValueError, match="MLFLOW_TRACKING_URI=''"):
        tracking.client()


def test_mlflow_itself_says_no_address(monkeypatch, tmp_path):
    """It would print the tracking server's, with its user and password, at the end of each run."""
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    tracking.client(tracking.address_of(tmp_path / "mlflow.db"), make=True)
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get() is True


def test_mlflow_tells_its_makers_nothing_unasked():
    """MLflow reads the variable when it is imported, so it must stand before."""
    asks = "import sys, mammogan, os; assert 'mlflow' not in sys.modules; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    bare = {name: value for name, value in os.environ.items() if name != "MLFLOW_DISABLE_TELEMETRY"}
    for given, output in (({}, "true"), ({"MLFLOW_DISABLE_TELEMETRY": "false"}, "false")):
        done = subprocess.run([sys.executable, "-c", asks], env={**bare, **given}, capture_output=True, text=True)
        assert done.stdout.strip() == output, done.stderr
