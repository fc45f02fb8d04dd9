"""The record of a run's steps in MLflow: begun, done, failed, stopped; and nothing stale after a second start."""

import dataclasses
import os
import signal
import subprocess
import time

import pytest
from sample_run import evaluation, training
from warm_interpreter import warm_python

from mammogan import tracking
from mammogan.config import PRESETS, Trial
from mammogan.graph import Step
from mammogan.ledger import State, Task
from mammogan.results import TrialStatus
from mammogan.tracking import ledger

CONFIG = PRESETS["demo"]
TRIAL = Trial(3.0, 0)


@pytest.fixture(autouse=True)
def mlflow(database, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("KFP_POD_NAME", "mammogan-x-impl-42")
    tracking.ensure_experiment(tmp_path.name, str(tmp_path / "artifacts"))
    return tracking.client()


@pytest.fixture
def parent(tmp_path):
    return tracking.open_parent(tmp_path.name, "key", CONFIG, {})


def entry(parent, step, trial=""):
    return tracking.read_ledger(parent).entries[Task(step, trial)]


def test_a_step_is_running_then_done_with_what_follows(parent):
    with tracking.step(parent, Step.SELECT) as progress:
        recorded = entry(parent, Step.SELECT)
        assert (recorded.state, recorded.ended_ms, recorded.pod) == (State.RUNNING, None, "mammogan-x-impl-42")
        progress.goes_on = False
    recorded = entry(parent, Step.SELECT)
    assert (recorded.state, recorded.goes_on) == (State.DONE, False)
    assert recorded.ended_ms >= recorded.began_ms


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (ValueError("data.size=3: use 7 * 2^k\nmore"), State.FAILED, "data.size=3: use 7 * 2^k"),
        (KeyError("x"), State.FAILED, "KeyError: 'x'"),
        (MemoryError("out of memory"), State.FAILED, "MemoryError: out of memory"),
        (SystemExit(143), State.STOPPED, ledger.STOPPED),
        (KeyboardInterrupt(), State.STOPPED, "interrupted"),
    ],
)
def test_a_step_that_raises_leaves_its_reason(parent, error, state, reason):
    with pytest.raises(type(error)), tracking.step(parent, Step.REGISTER):
        raise error
    recorded = entry(parent, Step.REGISTER)
    assert (recorded.state, recorded.reason) == (state, reason)


def test_a_second_start_leaves_nothing_stale(mlflow, parent):
    with pytest.raises(RuntimeError), tracking.step(parent, Step.AUDIT):
        raise RuntimeError("the network is away")
    tracking.close(parent, "FAILED", "audit: the network is away")
    with tracking.step(parent, Step.AUDIT):
        run = mlflow.get_run(parent)
        assert run.info.status == "RUNNING"
        assert not run.data.tags["mammogan.reason"]
    assert entry(parent, Step.AUDIT).reason == ""


def test_a_trial_that_goes_on_after_its_pod_was_lost_says_nothing_of_before(mlflow, parent):
    with pytest.raises(SystemExit), tracking.trial_log(parent, TRIAL, CONFIG, Step.TRAIN):
        raise SystemExit(143)
    assert entry(parent, Step.TRAIN, TRIAL.name).state is State.STOPPED
    with tracking.trial_log(parent, TRIAL, CONFIG, Step.TRAIN) as log:
        log.metrics(1, {"train/x": 1.0})
        child = mlflow.get_run(log.run_id)
        assert (child.info.status, child.data.tags["mammogan.reason"]) == ("RUNNING", "")
        log.finish(training(TRIAL))
    assert entry(parent, Step.TRAIN, TRIAL.name).state is State.DONE


def test_divergence_is_a_result_and_a_fault_is_not(parent):
    for status, state in ((TrialStatus.DIVERGED, State.DONE), (TrialStatus.FAILED, State.FAILED)):
        with tracking.trial_log(parent, TRIAL, CONFIG, Step.TRAIN) as log:
            log.finish(training(TRIAL, status, "epoch 2: nan"))
        assert entry(parent, Step.TRAIN, TRIAL.name).state is state
    with tracking.trial_log(parent, TRIAL, CONFIG, Step.EVALUATE) as log:
        log.finish(evaluation(TRIAL, [], TrialStatus.FAILED, "the training failed"))
    assert entry(parent, Step.EVALUATE, TRIAL.name).state is State.DONE, "it could do no more"
    with tracking.trial_log(parent, TRIAL, CONFIG, Step.EVALUATE) as log:
        failed = evaluation(TRIAL, [], TrialStatus.FAILED, "out of memory")
        log.finish(dataclasses.replace(failed, failed_in=Step.EVALUATE))
    assert entry(parent, Step.EVALUATE, TRIAL.name).state is State.FAILED


def test_trials_with_odd_numbers_have_tags_of_their_own(parent):
    trials = [Trial(1e-20, 0), Trial(1e20, 0), Trial(0.5, 0), Trial(5.0, 0), Trial(0.5, 10)]
    assert len({ledger.tag(Task(Step.TRAIN, trial.name)) for trial in trials}) == len(trials)
    for trial in trials:
        ledger.write(parent, ledger.begun(Task(Step.TRAIN, trial.name)))
    assert len(tracking.read_ledger(parent).running()) == len(trials)


SLOW = """
import sys, time
from mammogan import tracking
with tracking.step(sys.argv[1], "audit"):
    print("begun", flush=True)
    for _ in range(600):  # one long sleep would go on where the signal comes just before it begins
        time.sleep(0.1)
"""


def test_sigterm_is_recorded_within_the_second_that_a_pod_has(parent):
    process = subprocess.Popen([warm_python(), "-c", SLOW, parent], stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout.readline() == "begun\n"
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    process.stdout.close()
    assert process.returncode == 143
    assert time.monotonic() - asked < 10
    assert entry(parent, Step.AUDIT).state is State.STOPPED
