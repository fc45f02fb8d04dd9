"""A step of a local run ends with its runner, and the folder is held until it has."""

import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from mammogan import tether

STEP = """
import sys, time
from mammogan import tether
tether.GRACE_S = 1.0
tether.hold()
{more}
print("at work", flush=True)
time.sleep(60)
"""
RUNNER = """
import os, subprocess, sys, time
from pathlib import Path
from mammogan import tether
os.environ |= tether.variables(Path(sys.argv[1]))
through_a_shell = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, sys.argv[2]]
step = subprocess.Popen(through_a_shell, stdout=subprocess.PIPE, text=True)
print(step.stdout.readline().strip(), flush=True)
time.sleep(60)
"""


def start(lock, more=""):
    """A runner, and the step that it began through a shell, as Kubeflow's runner does."""
    step = textwrap.dedent(STEP.format(more=more))
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(lock), step], stdout=subprocess.PIPE, text=True)
    assert runner.stdout.readline().strip() == "at work"
    _, worker = psutil.Process(runner.pid).children(recursive=True)
    return runner, worker


@pytest.mark.parametrize("more", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_a_step_ends_with_a_runner_that_is_killed_and_holds_the_folder_until_then(tmp_path, more):
    lock = tmp_path / ".steps"
    runner, worker = start(lock, more)
    assert not tether.wait_until_free(lock, 0.0)
    runner.kill()
    assert tether.wait_until_free(lock, 20.0)
    runner.communicate()
    psutil.wait_procs([worker], timeout=5)
    assert not worker.is_running()


def test_a_step_whose_runner_is_gone_does_not_begin(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    number = gone.stdout.strip()
    given = {tether.LOCK: str(tmp_path / "lock"), tether.RUNNER: f"{number}:{time.time()}"}
    another = given | {tether.RUNNER: f"{os.getpid()}:1.0"}  # the number of a process that began later
    command = [sys.executable, "-c", STEP.format(more="")]
    for values in (given, another):
        done = subprocess.run(command, env=os.environ | values, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert done.stderr.strip() == "the run that began this step is gone"


def test_a_step_on_a_cluster_is_tied_to_nothing(monkeypatch):
    monkeypatch.delenv(tether.LOCK, raising=False)
    tether.hold()
    assert tether._held == []
