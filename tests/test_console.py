"""A log gets plain, few lines; a person gets a bar."""

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from mlflow.exceptions import MlflowException
from rich.table import Table
from rich.tree import Tree
from typer.testing import CliRunner

from mammogan import console, log_file
from mammogan.commands import options
from mammogan.errors import LoggedError

logger = logging.getLogger("mammogan.tests")


def test_plain_progress_says_little_and_ends_with_the_total(capsys, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    with console.progress("train lambda=3,seed=0", 3, done=1, unit="steps") as advance:
        advance(note="loss 1.5")
        advance()
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0].startswith("train lambda=3,seed=0: 2 of 3 steps in 0 s, 0 s left; ")
    assert lines[0].endswith("loss 1.5")
    assert lines[-1].startswith("train lambda=3,seed=0: 3 of 3 steps in 0 s; ")
    assert len(lines) == 2, "the total is said once"


def test_the_time_that_is_left_is_told_as_a_person_says_it():
    assert [console.duration(seconds) for seconds in (0.4, 99, 101, 5400, 11_100)] == [
        "0 s", "99 s", "2 min", "90 min", "3 h 05 min",
    ]  # fmt: skip


def test_lines_are_marked_for_the_local_runner(capsys, monkeypatch):
    monkeypatch.setenv("MAMMOGAN_SAY_PREFIX", "» ")
    logger.info("hello")
    assert capsys.readouterr().err == "» hello\n"


PIPE_GONE = """
import logging, os, sys
from mammogan import console
console.configure()
logger = logging.getLogger("mammogan.x")
os.close(0)
sys.stderr.flush()
logger.info("nobody reads this")
logger.info("nor this")
open(sys.argv[1], "w").write("went on")
"""


def test_a_reader_that_is_gone_is_no_reason_to_end(tmp_path):
    """As a pod's launcher, which is ended before its step: the step must not die of BrokenPipeError."""
    reading, writing = os.pipe()
    os.close(reading)
    note = tmp_path / "told"
    done = subprocess.run([sys.executable, "-c", PIPE_GONE, str(note)], stderr=writing, stdout=writing, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert note.read_text() == "went on"


def test_no_password_in_an_address_is_reported(capsys):
    logger.info("MLflow at http://anna:geheim@mlflow:5000/ui does not answer; see https://b:c@d/")
    assert capsys.readouterr().err == "MLflow at http://***@mlflow:5000/ui does not answer; see https://***@d/\n"


app = typer.Typer(cls=options.OneLineErrors)


@app.command()
def fail(kind: str) -> None:
    logging.getLogger("mammogan.work").debug("a detail")
    logging.getLogger("another.package").info("of others")
    raise {
        "value": ValueError("--x='3': use 28\nmore"),
        "store": OSError("s3://key:secret@bucket is away"),
        "bug": KeyError("x"),
        "mlflow": MlflowException("no such run\nmore"),
        "run": LoggedError("step train: out of memory; the whole log is runs/run-1/log.txt"),
    }[kind]


@app.command()
def work() -> None:
    logging.getLogger("mammogan.work").warning("lambda=3: failed", exc_info=ValueError("x"))


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv(log_file.VARIABLE, str(tmp_path / "log"))
    yield tmp_path / "log"
    console.configure(console.Verbosity.NORMAL)


def shown(*arguments):
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stderr.splitlines()


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("value", 2, "error: --x='3': use 28"),
        ("store", 1, "error: s3://***@bucket is away"),
        ("bug", 1, "error: KeyError: 'x'"),
        ("mlflow", 1, "error: MlflowException: no such run"),
    ],
)
def test_an_error_is_one_line_that_says_where_its_traceback_is(log, kind, status, line):
    assert shown("fail", kind) == (status, [f"{line} (traceback in {log})"])
    kept = log.read_text()
    assert "in fail\n    raise {" in kept
    assert "DEBUG" in kept
    assert "a detail" in kept
    assert "secret" not in kept


def test_a_run_s_error_names_the_run_s_own_log_alone(log):
    assert shown("fail", "run") == (1, ["error: step train: out of memory; the whole log is runs/run-1/log.txt"])
    assert "LoggedError" in log.read_text()


def test_a_failure_that_the_command_survives_says_where_too(log):
    assert shown("work") == (0, [f"lambda=3: failed (traceback in {log})"])


def test_without_a_log_the_console_says_how_to_see_the_traceback(monkeypatch, log):
    monkeypatch.setenv(log_file.VARIABLE, "/dev/null/log")
    log_file.detach(console.PACKAGE)
    assert shown("fail", "bug") == (1, ["error: KeyError: 'x' (--debug shows the traceback)"])


@pytest.mark.parametrize("behind", [False, True])
def test_verbose_shows_our_debug_records_and_debug_tracebacks_and_others_too(log, behind):
    def given(option):
        return shown("fail", "bug", option) if behind else shown(option, "fail", "bug")

    _, verbose = given("--verbose")
    assert [line for line in verbose if not line.startswith("mammogan 0")] == [
        "a detail", f"error: KeyError: 'x' (traceback in {log})",
    ]  # fmt: skip
    status, debug = given("--debug")
    assert status == 1
    assert {"a detail", "of others", "Traceback (most recent call last):"} <= set(debug)
    assert debug.count("a detail") == 1
    assert debug[-1] == "error: KeyError: 'x'"
    assert shown("fail", "bug") == (1, [f"error: KeyError: 'x' (traceback in {log})"])  # the next one is quiet again


def test_the_variable_counts_where_no_option_does_and_a_wrong_one_is_named(log, monkeypatch):
    monkeypatch.setenv(console.VERBOSITY, "debug")
    assert "Traceback (most recent call last):" in shown("fail", "bug")[1]
    assert "Traceback (most recent call last):" not in shown("fail", "bug", "--verbose")[1]
    monkeypatch.setenv(console.VERBOSITY, "loud")
    status, lines = shown("fail", "bug")
    assert status == 2
    assert lines == [f"error: MAMMOGAN_VERBOSITY='loud': use verbose, debug, or leave it unset (traceback in {log})"]


STEP = """
from mammogan import console
console.configure_step()
raise SystemError("https://a:secret@b: first\\nsecond")
"""


def test_the_error_that_ends_a_step_is_its_last_line():
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-3:] == ["SystemError: https://***@b: first", "second", "SystemError: https://***@b: first"]
    assert "secret" not in done.stderr


def test_a_step_shows_the_traceback_of_what_it_survives_before_its_line(capsys, log):
    console.configure_step()
    logger.warning("lambda=3: failed: ValueError: x", exc_info=ValueError("x"))
    assert capsys.readouterr().err.splitlines() == ["ValueError: x", "lambda=3: failed: ValueError: x"]


@pytest.mark.parametrize("text", ["/data/[/x]/y", "[link=http://evil]here[/link]", "[bold]b", ":smile:"])
def test_brackets_are_text_in_what_is_drawn(capsys, monkeypatch, text):
    monkeypatch.setenv("COLUMNS", "120")
    table = Table("column")
    table.add_row(text)
    tree = Tree(text)
    tree.add(text)
    drawn = console.plain(width=100)
    for shown in (table, tree, text):
        drawn.print(shown)
    assert capsys.readouterr().out.count(text) == 4
    with console._terminal_bar(text, 1, 0, "steps") as advance:
        advance(note=text)
    assert capsys.readouterr().err.count(text) == 2


def test_progress_names_what_it_counts():
    sources = [path for path in Path(console.__file__).parent.rglob("*.py") if path.name != "console.py"]
    calls = [
        node
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("progress", "console.progress", "bar")
    ]
    assert len(calls) >= 12
    assert [ast.unparse(call) for call in calls if "unit" not in {word.arg for word in call.keywords}] == []


def test_a_narrow_screen_cuts_the_note_of_a_bar_and_nothing_else(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with console._terminal_bar("evaluate lambda=0.5,seed=0", 1023, 700, "image passes") as advance:
        advance(note="epoch 11, W 3.44 and more that no screen has room for")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(line) <= 80
    assert line.startswith("evaluate lambda=0.5,seed=0 ")
    assert " 701/1023 image passes " in line
    assert " left epoch" in line


def test_nothing_else_draws():
    """Whoever makes a Console of his own may forget that what it prints was written by others."""
    sources = Path(console.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if " Console(" in path.read_text()] == ["console.py"]
