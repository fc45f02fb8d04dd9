"""Commands in messages: what is printed can be typed."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mammogan import shell


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A folder ``.venv/bin`` with a Python and, if named, a script; the working folder is above it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    def install(*names, folder=".venv/bin", on_path=False):
        bin_folder = tmp_path / folder
        bin_folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (bin_folder / name).write_text("#!/bin/sh\necho it is $0 $@\n")
            (bin_folder / name).chmod(stat.S_IRWXU)
        monkeypatch.setattr(sys, "executable", str(bin_folder / "python3"))
        if on_path:
            monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
        return bin_folder

    return install


def output(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()


def test_a_script_that_the_shell_finds_is_named(install):
    folder = install("python3", "mammogan", on_path=True)
    assert shell.command("mammogan") == "mammogan"
    assert output(f"{shell.command('mammogan')} run") == f"it is {folder}/mammogan run"


def test_one_that_it_does_not_find_is_its_path(install):
    install("python3", "mammogan")
    assert shell.command("mammogan") == ".venv/bin/mammogan"
    assert output(f"{shell.command('mammogan')} run") == "it is .venv/bin/mammogan run"


def test_another_program_of_that_name_is_not_taken_for_it(install, tmp_path, monkeypatch):
    install("mammogan", folder="other", on_path=True)
    install("python3", "mammogan")
    assert shell.command("mammogan") == ".venv/bin/mammogan"


def test_what_is_not_installed_is_a_module(install):
    folder = install("python3", on_path=True)
    assert output(f"{shell.command('mammogan')} run") == f"it is {folder}/python3 -m mammogan run"
    assert shell.command("mammogan") == "python3 -m mammogan"


def test_a_place_elsewhere_is_named_whole_and_quoted(install, tmp_path, monkeypatch):
    folder = install("python3", "mammogan", folder="my venv/bin")
    assert output(f"{shell.command('mammogan')} run") == "it is my venv/bin/mammogan run"
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert output(f"{shell.command('mammogan')} run") == f"it is {folder}/mammogan run"
    monkeypatch.chdir(folder)
    assert output(f"{shell.command('mammogan')} run") == f"it is {folder}/mammogan run"


def test_here_it_names_something_that_there_is():
    words = shell.command("mammogan").split()
    assert words[0] == "mammogan" or Path(words[0]).exists() or words[1:] == ["-m", "mammogan"]
