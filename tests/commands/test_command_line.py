"""One command: the same subcommands however it is called, quick to start, completed by the shell."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import mammogan
from mammogan import command_line
from mammogan.command_line import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = get_command(app).commands
HEAVY = ("kfp", "kfp_server_api", "mlflow", "torch", "torchvision", "numpy", "pandas", "sklearn", "matplotlib", "yaml")
QUICK = """
import json, sys
from typer.testing import CliRunner
from mammogan.command_line import app
for arguments in (["--version"], ["-h"], ["run", "-h"], ["submit", "-h"], ["config", "--diff", "demo"]):
    assert CliRunner().invoke(app, arguments).exit_code == 0, arguments
print(json.dumps(sorted(sys.modules)))
"""


def test_every_subcommand_is_there():
    assert set(COMMANDS) == {
        *("run", "compile", "config", "submit", "stop", "schedule", "preflight", "probe"),
        *("plan", "ingest", "verify", "card", "train", "evaluate", "synthesise", "audit", "utility"),
        *("generate", "export", "report", "runs", "compare", "lineage", "promote", "rollback", "janitor"),
        *("relocate", "ui", "purge", "claim", "reader-study"),
    }


@pytest.mark.parametrize("name", ["", *COMMANDS, "reader-study make", "reader-study score"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_explains_itself(name, flag):
    result = CliRunner().invoke(app, [*name.split(), flag], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line) > 80 or "\N{HORIZONTAL ELLIPSIS}" in line] == []


def test_the_version_is_the_packages():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"mammogan {mammogan.__version__}\n"


def test_starting_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", QUICK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & set(HEAVY)


def test_the_script_and_the_module_and_the_graphs_file_offer_the_same(tmp_path):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, name = scripts["mammogan"].split(":")
    assert scripts.keys() == {"mammogan"}
    assert getattr(import_module(module), name) is command_line.start

    def shown(*arguments):
        command = [sys.executable, *arguments, "-h"]
        environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        usage, _, rest = done.stdout.strip().partition("\n")
        return usage.split(), rest

    usage, options = shown("-m", "mammogan")
    assert usage == ["Usage:", "python", "-m", "mammogan", "[OPTIONS]", "COMMAND", "[ARGS]..."]
    assert all(f" {command} " in options for command in COMMANDS)
    usage, the_same = shown(str(ROOT / "pipeline.py"))
    assert usage == ["Usage:", "pipeline.py", "[OPTIONS]", "COMMAND", "[ARGS]..."]
    assert the_same == options


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("mammogan pre", ["preflight"]),
        ("mammogan run --preset mo", ["modern"]),
        ("mammogan config --diff de", ["demo"]),
        ("mammogan train --set train.epo", ["train.epochs="]),
        ("mammogan submit --set pres", []),
    ],
)
def test_a_shell_completes(typed, completions):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_MAMMOGAN_COMPLETE": "complete_bash"}
    result = CliRunner().invoke(app, [], prog_name="mammogan", env=words)
    assert result.stdout.split() == completions


def test_a_mistake_is_one_line_and_status_2():
    result = CliRunner().invoke(app, ["config", "--set", "train.epoch=3"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: train.epoch='3': no such setting; did you mean train.epochs")


def test_text_is_utf_8_whatever_the_locale_says(tmp_path):
    """In a path that a message repeats, and in every process that the command starts."""
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MAMMOGAN_LOG": str(tmp_path / "log")}
    environment = {**os.environ, **ascii_only, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mammogan", "lineage", "models:/m/1", "--tracking-uri", "sqlite:///n\u00f6.db"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: MLFLOW_TRACKING_URI='sqlite:///n\u00f6.db': no such file")
    child = (
        "import os; from mammogan import utf8; utf8.require(); os.execlp('python3', 'python3', '-c', 'print(chr(187))')"
    )
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run([sys.executable, "-c", child], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout.decode() == "\u00bb\n"


def test_text_is_utf_8_whatever_the_streams_are_told():
    """Which they are even in UTF-8 mode, and in every process that the command starts."""
    child = "import os; from mammogan import utf8; utf8.require(); print(chr(187), 'PYTHONIOENCODING' in os.environ)"
    for told, kept in (("ascii", False), ("latin-1:replace", False), ("utf8", True), (":replace", True)):
        environment = {**os.environ, "PYTHONIOENCODING": told, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        done = subprocess.run([sys.executable, "-c", child], env=environment, capture_output=True, check=True)
        assert done.stdout.decode() == f"\u00bb {kept}\n"


class TestReaderThatWentAway:
    """``mammogan ... | head``: no word of it, and the status that a shell expects of who wrote to nobody."""

    def ended(self, *arguments, unbuffered="", **streams):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "mammogan", *arguments]
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=write,
                stderr=streams.get("stderr", subprocess.PIPE),
                text=True,
            )
        finally:
            os.close(write)

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize("arguments", [["config"], ["-h"], ["run", "-h"], ["--version"]])
    def test_it_ends_silently(self, arguments, unbuffered):
        done = self.ended(*arguments, unbuffered=unbuffered)
        assert (done.returncode, done.stderr) == (141, "")

    def test_a_failure_that_was_told_keeps_its_status(self, tmp_path):
        assert self.ended("config", "--preset", "x").returncode == 2
        done = self.ended("verify", str(tmp_path))
        assert done.returncode == 1
        assert "no data set" in done.stderr

    def test_streams_that_were_closed_before(self):
        shell = f"{sys.executable} -m mammogan --version >&-"
        done = subprocess.run(["sh", "-c", shell], cwd=ROOT, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
