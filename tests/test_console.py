"""A log gets plain, few lines; a person gets a bar."""

import logging
import os
import subprocess
import sys

from mammogan import console

logger = logging.getLogger("mammogan.tests")


def test_plain_progress_says_little_and_ends_with_the_total(capsys, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_INTERVAL_S", 0.0)
    with console.progress("train", 3, done=1) as advance:
        advance(note="loss 1.5")
        advance()
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0].startswith("train: 2/3 in 0 s")
    assert lines[0].endswith("loss 1.5")
    assert lines[-1].startswith("train: 3/3")


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
    told = tmp_path / "told"
    done = subprocess.run([sys.executable, "-c", PIPE_GONE, str(told)], stderr=writing, stdout=writing, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert told.read_text() == "went on"


def test_no_password_in_an_address_is_said(capsys):
    logger.info("MLflow at http://anna:geheim@mlflow:5000/ui does not answer; see https://b:c@d/")
    assert capsys.readouterr().err == "MLflow at http://***@mlflow:5000/ui does not answer; see https://***@d/\n"
