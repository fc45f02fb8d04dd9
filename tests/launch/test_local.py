"""The local runner: which folder a run gets, what a person sees of its steps, one run at a time."""

import dataclasses
import fcntl
import io
import os
import shlex
import socket

import pytest
from sample_run import measured

from mammogan import config, console, lock, tether
from mammogan.launch import local, store, ui
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.mlflow_page import open_command
from mammogan.launch.outcome import estimate, next_lines, page
from mammogan.tracking.database import address_of


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


def test_a_run_is_its_own_among_all_that_run_the_same_command(tmp_path):
    """Two folders, or two people, may share an MLflow: one's run must not become the other's."""
    arguments = graph_arguments("demo", {"lambdas": "3"})
    one, other = (local.find_or_make(tmp_path / name, arguments) for name in ("one", "other"))
    assert one.key != other.key
    assert one.folder.name == other.folder.name
    one.mark("running")
    moved = (tmp_path / "one").rename(tmp_path / "moved")
    assert local.find_or_make(moved, arguments).key == one.key


def test_a_run_of_an_earlier_version_goes_on_under_its_key(tmp_path):
    arguments = graph_arguments("demo", {"lambdas": "3"})
    first = local.find_or_make(tmp_path, arguments)
    first.mark("failed")
    (first.folder / "run_key.txt").unlink()
    assert local.find_or_make(tmp_path, arguments).key == first.folder.name.removeprefix("run-")


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


@pytest.mark.parametrize(
    "line",
    [
        "mlflow.exceptions.MlflowException: Invalid model name: 'a/b'",
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked",
        "botocore.exceptions.ClientError: An error occurred (403)",
        "torch.OutOfMemoryError: CUDA out of memory",
        "KeyboardInterrupt",
        "ValueError: x",
    ],
)
def test_the_last_line_of_any_traceback_is_a_reason(line):
    steps = local.StepLog(io.StringIO(), io.StringIO())
    steps.write(f"            {line}\n15:13:13.000 - ERROR - Task 'register' finished with status FAILURE\n")
    assert steps.failure == f"step register: {line}"


def test_a_reason_that_a_step_marks_counts_whatever_its_name_is(monkeypatch, capsys):
    """Such as botocore's NoSuchBucket; and a line of a log that only looks like a traceback's does not."""

    class NoSuchBucket(Exception):  # noqa: N818  (botocore's)
        pass

    monkeypatch.setenv(console.REASON_MARK, local.REASON_MARK)
    console.uncaught(NoSuchBucket, NoSuchBucket("s3://a"), None)
    steps = local.StepLog(io.StringIO(), io.StringIO())
    steps.write("some text about a ValueError: in the middle\nMyErrors are many\n")
    steps.write(capsys.readouterr().err)
    steps.write("15:13:13.000 - ERROR - Task 'ingest' finished with status FAILURE\n")
    assert steps.failure == "step ingest: NoSuchBucket: s3://a"


def test_a_runs_folder_is_locked_through_no_link(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="it cannot be opened to be locked"), local.exclusive(tmp_path / "out"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_folder_whose_steps_are_still_at_work_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tether.wait_until_free, "__defaults__", (0.3,))
    descriptor = lock.opened(tmp_path / local.STEPS_LOCK)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    with pytest.raises(RuntimeError, match="still at work"), local.exclusive(tmp_path):
        pass
    os.close(descriptor)
    with local.exclusive(tmp_path):
        pass


def test_the_steps_spool_below_the_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("MAMMOGAN_SPOOL", raising=False)
    assert local.step_environment("sqlite:///x", "key", tmp_path)["MAMMOGAN_SPOOL"] == str(tmp_path / "spool")
    monkeypatch.setenv("MAMMOGAN_SPOOL", "/elsewhere")
    assert local.step_environment("sqlite:///x", "key", tmp_path)["MAMMOGAN_SPOOL"] == "/elsewhere"


def test_the_pages_of_no_runs_or_on_a_port_of_another_program_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ui.os, "execv", lambda *_: pytest.fail("it was served"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        ui.open_run("latest", ui.address_of(tmp_path, ""), 5000)
    with pytest.raises(ValueError, match=r"there are no runs in \./runs"):
        ui.address_of(None, "")
    with socket.socket() as other:
        other.bind((ui.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr("mammogan.tracking.find_run", lambda *_: "run")
        monkeypatch.setattr("mammogan.tracking.links.fragment", lambda *_: "#/")
        with pytest.raises(ValueError, match=f"--port={port}: in use by another program"):
            ui.open_run("latest", f"sqlite:///{tmp_path}/mlflow.db", port)


def test_arguments_are_checked_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="--source"):
        graph_arguments("paper", {})
    with pytest.raises(ValueError, match=r"train\.epochs"):
        graph_arguments("demo", {"train.epoch": 3})
    arguments = graph_arguments("demo", {"lambdas": "0.5,3"}, source=str(tmp_path))
    assert arguments.trials == ("lambda=0.5,seed=0", "lambda=3,seed=0")
    assert arguments.configuration.lambdas == (0.5, 3.0)


def test_the_command_that_opens_mlflow_is_shown_for_any_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("plain", "sp ace #1", "100%?"):
        words = shlex.split(open_command(store.address_of(tmp_path / name)))
        assert words[-3:] == ["ui", "--out", name]
        other = address_of(tmp_path / name / "other.db")
        assert shlex.split(open_command(other))[-3:] == ["ui", "--backend-store-uri", other]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / store.DATABASE).touch()
    assert shlex.split(open_command(store.address_of(store.RUNS)))[-1] == "ui", "found without being named"
    assert open_command("https://me:hunter2@mlflow.example.org") == "https://***@mlflow.example.org"


def test_a_figure_and_its_reference_have_one_power_of_ten():
    item = dataclasses.replace(measured(21, "kid", 0.00032, spread=1.0), reference=-0.0000949)
    assert estimate(item) == (
        "KID inception, train: 0.32 (0.00 to 0.64) x 10^-3; real against real -0.09 x 10^-3"
    )  # fmt: skip
    assert estimate(dataclasses.replace(item, reference=None)) == "KID inception, train: 0.32 (0.00 to 0.64) x 10^-3"


def commands(text):
    """The commands among lines, as a shell reads them."""
    return [shlex.split(line) for line in text.replace("\\\n", "").splitlines() if line.startswith("  ")]


def test_the_end_of_a_run_shows_commands_that_work_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    address = store.address_of(tmp_path / "my runs")
    lines = list(next_lines("models:/mammogan/1", address, "252f94c6-1", page("", address)))
    assert all(len(line) <= 80 for line in lines if " " in line.strip() and str(tmp_path) not in line)
    opened, compared, drawn = commands("\n".join(lines))
    assert [opened[0].rpartition("/")[2], *opened[1:]] == ["mammogan", "ui", "--out", "my runs"]
    assert compared[1:] == ["compare", "252f94c6-1", "--tracking-uri", address]
    assert drawn[1:8] == ["generate", "--model", "models:/mammogan/1", "--count", "16", "--out", "samples"]
    assert drawn[8:] == ["--tracking-uri", address]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / store.DATABASE).touch()
    found = store.address_of(store.RUNS)
    for words in commands("\n".join(next_lines("models:/m/1", found, "k", page("", found)))):
        assert "--tracking-uri" not in words, "the default finds it"
    assert "hunter2" not in "".join(next_lines("models:/m/1", "https://me:hunter2@mlflow.example.org", "k", ""))


def test_pages_are_served_on_a_port_that_is_free(monkeypatch):
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(ui, "PORTS", range(port, port + 50))
        assert port < ui._free_port() < port + 50
        monkeypatch.setattr(ui, "PORTS", range(port, port + 1))
        assert ui._free_port() == port, "who asks for it is told that it is taken"
