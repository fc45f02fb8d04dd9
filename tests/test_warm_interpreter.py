"""What the warm interpreter runs is to its caller the process that ``sys.executable`` would have been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from warm_interpreter import warm_python

pytestmark = pytest.mark.skipif(warm_python() == sys.executable, reason="it needs Linux")
SHOWN = """
import json, os, sys
print(json.dumps([sys.argv, sys.path[0], os.getcwd(), os.environ["NAME"], os.environ.get("GONE"), sys.stdin.read(),
                  "mammogan" in sys.modules, "torch" in sys.modules, os.umask(0)]))
print("an error", file=sys.stderr)
sys.exit(3)
"""


def both(*arguments, **more):
    """Exit status, output and errors by the warm interpreter and by a new one."""
    ran = [subprocess.run([python, *arguments], capture_output=True, text=True, **more)
           for python in (warm_python(), sys.executable)]  # fmt: skip
    return [(done.returncode, done.stdout, done.stderr) for done in ran]


@pytest.mark.parametrize("how", ["-c", "-m", "script"])
def test_arguments_place_environment_streams_and_status_are_the_callers(tmp_path, monkeypatch, how):
    monkeypatch.setenv("GONE", "x")
    (tmp_path / "shown.py").write_text(SHOWN)
    started = {"-c": ["-c", SHOWN], "-m": ["-m", "shown"], "script": [str(tmp_path / "shown.py")]}[how]
    environment = {name: value for name, value in os.environ.items() if name != "GONE"} | {"NAME": "value"}
    more = {"cwd": tmp_path, "env": environment, "input": "typed", "umask": 0o027}
    warm, new = both(*started, "one", "two words", **more)
    *seen, has_torch, umask = json.loads(warm[1])
    *expected, _, new_umask = json.loads(new[1])
    assert seen == expected
    assert (has_torch, umask) == (True, new_umask) == (True, 0o027)
    assert warm[::2] == new[::2] == (3, "an error\n")


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("", 0),
        ("raise SystemExit('words')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("import os; os._exit(300 - 256)", 44),
        ("import atexit; atexit.register(print, 'last'); print('first')", 0),
        ("import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()", 0),
    ],
)
def test_every_end_is_the_same(program, status):
    warm, new = both("-c", program)
    assert warm[:2] == new[:2]
    assert warm[0] == status
    assert warm[2].splitlines()[-1:] == new[2].splitlines()[-1:]


WAITS = """
import os, signal, sys, time
try:
    print(os.getpid(), flush=True)
    for _ in range(600):  # one long sleep would go on where the signal comes just before it begins
        time.sleep(0.1)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -15), (signal.SIGKILL, -9), (signal.SIGHUP, -1)]
)
def test_a_signal_to_the_caller_reaches_the_program(number, status):
    if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("started by nohup, which lets nothing below it end by SIGHUP")
    with subprocess.Popen([warm_python(), "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        assert pid != process.pid
        process.send_signal(number)
        assert process.wait(20) == status
    assert ends(pid)


def test_a_group_that_is_killed_ends_what_the_program_started():
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
    command = [warm_python(), "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        pid = int(process.stdout.readline())
        os.killpg(process.pid, signal.SIGKILL)
    assert ends(pid)


def ends(pid):
    """Whether a process is soon gone."""
    until = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


SERVES = """
import sys, time
from pathlib import Path
import warm_interpreter
with warm_interpreter.started(Path(sys.argv[1])):
    print("started", flush=True)
    time.sleep(60)
"""


def test_tests_that_are_killed_leave_nothing_behind(tmp_path):
    command = [sys.executable, "-c", SERVES, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        (server,) = psutil.Process(process.pid).children()
        process.kill()
    assert ends(server.pid)


def test_mlflow_tells_its_makers_nothing():
    asks = "from mlflow.telemetry import get_telemetry_client; print(get_telemetry_client())"
    done = subprocess.run([warm_python(), "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


def test_what_a_running_interpreter_cannot_take_is_run_by_a_new_one():
    asks = "import sys; print(sys.flags.utf8_mode, 'torch' in sys.modules)"
    done = subprocess.run([warm_python(), "-X", "utf8", "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout == "1 False\n"
