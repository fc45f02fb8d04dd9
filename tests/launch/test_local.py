"""The local runner: which folder a run gets, what a person sees of its steps, one run at a time."""

import io

import pytest

from mammogan import config
from mammogan.launch import local
from mammogan.launch.arguments import graph_arguments


def test_the_same_arguments_go_on_until_they_finish(tmp_path):
    arguments = graph_arguments("demo", {"lambdas": "3"})
    first = local.find_or_make(tmp_path, arguments)
    first.mark("running")
    assert local.find_or_make(tmp_path, arguments) == first
    first.mark("failed")
    assert local.find_or_make(tmp_path, arguments) == first
    first.mark("finished")
    second = local.find_or_make(tmp_path, arguments)
    assert second.folder != first.folder
    other = graph_arguments("demo", {"lambdas": "3", "train.epochs": "2"})
    assert local.find_or_make(tmp_path, other).key[:8] != first.key[:8]


def test_a_preset_that_changed_in_the_code_starts_anew(tmp_path, monkeypatch):
    arguments = graph_arguments("demo", {})
    first = local.find_or_make(tmp_path, arguments)
    first.mark("running")
    monkeypatch.setitem(config.PRESETS, "demo", config.override(config.PRESETS["demo"], {"train.epochs": 77}))
    assert local.find_or_make(tmp_path, arguments) != first


def test_one_run_at_a_time_in_a_folder(tmp_path):
    with local.exclusive(tmp_path), pytest.raises(RuntimeError, match="another run is using it"):  # noqa: SIM117
        with local.exclusive(tmp_path):
            pass


def test_screen_gets_steps_and_our_lines_and_the_log_gets_all():
    log, screen = io.StringIO(), io.StringIO()
    steps = local.StepLog(log, screen)
    text = (
        "15:13:12.761 - INFO - Executing task \x1b[96m'train'\x1b[0m\n"
        "            [KFP Executor] noise\n"
        "            » train lambda=3: 1/2 epochs\n"
        "            ValueError: data.size=3: use 7 * 2^k\n"
        "15:13:12.823 - ERROR - Task \x1b[96m'train'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m\n"
    )
    for start in range(0, len(text), 7):
        steps.write(text[start : start + 7])
    assert log.getvalue() == text
    assert screen.getvalue().splitlines() == ["-> train", "  train lambda=3: 1/2 epochs"]
    assert steps.failure == "step train: ValueError: data.size=3: use 7 * 2^k"


def test_the_error_of_a_trial_that_its_step_survived_is_not_taken_for_a_later_step_s():
    steps = local.StepLog(io.StringIO(), io.StringIO())
    steps.write("RuntimeError: out of memory\n15:13:12.823 - INFO - Task 'train' finished with status SUCCESS\n")
    steps.write("15:13:13.000 - ERROR - Task 'select' finished with status FAILURE\n")
    assert steps.failure == "step select: FAILURE"


def test_arguments_are_checked_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="--source"):
        graph_arguments("paper", {})
    with pytest.raises(ValueError, match=r"train\.epochs"):
        graph_arguments("demo", {"train.epoch": 3})
    arguments = graph_arguments("demo", {"lambdas": "0.5,3"}, source=str(tmp_path))
    assert arguments.trials == ("lambda=0.5,seed=0", "lambda=3,seed=0")
    assert arguments.settings.lambdas == (0.5, 3.0)
