"""Real faults at random moments of a real process: each run continues to the same bits as if nothing had happened.

Where the fault makes an end impossible, the run ends with one error of one line and its last checkpoint whole.
``make test`` does one; ``make test-long`` thirty, with the store away for a full minute.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import threading
import time

import boto3
import pytest
import servers
import trial_process
from gate import Gate
from trial_process import OVERRIDES, result

from mammogan.training.checkpoint import Checkpoints

STEPS = OVERRIDES["train.epochs"] * 3
BUCKET = "torture"
TO_LEAVE_S = 10
DISK_MB = 4

pytestmark = pytest.mark.timeout(900)


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["trial_process"])  # else most of a run is importing torch


def body(folder, store, environment, log):
    """What the process does: all that it prints goes to ``log``."""
    for descriptor in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.environ.update(environment)
    trial_process.main(folder, store)


class Run:
    """A trial in a process of its own."""

    def __init__(self, victim, store, log):
        self.log = log
        self.log.touch()
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        environment["AWS_ENDPOINT_URL_S3"] = victim.gate.endpoint
        self.process = PROCESSES.Process(target=body, args=(str(victim.folder), store, environment, str(log)))
        self.process.start()

    @property
    def output(self):
        return self.log.read_text()

    def send(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def status(self, within_s):
        """Its exit status, waited for in ticks of ours: while the whole machine stands still, nobody can leave."""
        for _ in range(within_s * 20):
            self.process.join(0.05)
            if self.process.exitcode is not None:
                return self.process.exitcode
        self.process.kill()
        return pytest.fail(f"still there after {within_s} s: {self.output}")


class Victim:
    """A trial's folder, and the store that it writes to."""

    def __init__(self, folder, logs, gate, seed):
        self.folder, self.logs, self.gate, self.rng = folder, logs, gate, random.Random(seed)
        self.local, self.remote = str(folder / "store"), f"s3://{BUCKET}/{folder.name}"

    def start(self, store):
        return Run(self, store, self.logs / f"{len(list(self.logs.iterdir()))}.log")

    def start_and_wait(self, store):
        """A run some time after the beginning of a random step, so that this may also fall on writing a checkpoint."""
        run, wanted = self.start(store), f"step {self.rng.randrange(STEPS)}\n"
        while wanted not in run.output and run.process.is_alive():
            time.sleep(0.005)
        time.sleep(self.rng.uniform(0, 0.1))
        return run

    def strike(self, number):
        """Send a signal at a random moment; the run may have been done before."""
        run = self.start_and_wait(self.local)
        run.send(number)
        assert run.status(TO_LEAVE_S) in (0, -number if number == signal.SIGKILL else 128 + number), run.output

    def ends(self, store=""):
        """Run it to its end, which must be the good one."""
        run = self.start(store or self.local)
        assert run.status(300) == 0, run.output


def killed(victim):
    victim.strike(signal.SIGKILL)
    victim.ends()


def terminated(victim):
    victim.strike(signal.SIGTERM)
    victim.ends()


def truncated(victim):
    victim.strike(signal.SIGKILL)
    paths = sorted(victim.folder.rglob("step_*.checkpoint"))
    if paths:
        newest = max(paths)
        os.truncate(newest, victim.rng.randrange(newest.stat().st_size))
        if len(paths) == 1:  # nothing is left to fall back upon
            run = victim.start(victim.local)
            assert run.status(300) == 1
            (error,) = errors(run.output)
            assert "every checkpoint is corrupt; remove the folder" in error
            newest.unlink()
    victim.ends()


def disk_full(victim):
    """Both the trial's folder and the store on a small disk, which another one fills."""
    with small_disk(victim.folder) as disk:
        run = victim.start_and_wait(victim.local)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        if run.status(300):
            (error,) = errors(run.output)
            assert "No space left on device" in error
            assert "Traceback" not in run.output
            assert not list(disk.rglob("*.part"))
            assert_last_checkpoint_whole(victim.folder)
        ballast.unlink()
        victim.ends()
        return result(victim.folder)


def store_away(victim, away_s):
    """The run waits for it and then ends well, all in one process."""
    run = victim.start_and_wait(victim.remote)
    victim.gate.shut()
    back = threading.Timer(away_s, victim.gate.open)
    back.start()
    status = run.status(600)
    back.join()
    assert status == 0, run.output


def terminated_while_the_store_is_away(victim):
    run = victim.start_and_wait(victim.remote)
    victim.gate.shut()
    run.send(signal.SIGTERM)
    status = run.status(TO_LEAVE_S)
    victim.gate.open()
    assert status in (0, 128 + signal.SIGTERM), run.output
    victim.ends(victim.remote)


def errors(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


@contextlib.contextmanager
def small_disk(folder):
    """A disk of 4 MB at ``folder``."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def assert_last_checkpoint_whole(folder):
    places = {path.parent for path in folder.rglob("step_*.checkpoint")}
    assert len(places) <= 1
    for place in places:
        assert Checkpoints(str(place)).latest() is not None


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("MAMMOGAN_PATIENCE_S", "120")
        client = boto3.client("s3", endpoint_url=store.endpoint)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield Gate(store.endpoint)


FAULTS = {
    "killed": killed,
    "terminated": terminated,
    "truncated": truncated,
    "disk full": disk_full,
    "store away": store_away,
    "terminated, store away": terminated_while_the_store_is_away,
}


def victim(factory, gate, seed):
    return Victim(factory.mktemp("victim"), factory.mktemp("logs"), gate, seed)


def assert_survived(fault, victim, uninterrupted, **how):
    kept = FAULTS[fault](victim, **how)
    expected, actual = result(uninterrupted[1]), kept or result(victim.folder)
    assert actual == expected


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("store away", {"away_s": 3}),
        pytest.param("disk full", {}, marks=pytest.mark.long),
        pytest.param("terminated, store away", {}, marks=pytest.mark.long),
    ],
)
def test_a_fault_at_a_random_moment(tmp_path_factory, gate, uninterrupted, fault, how):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    assert_survived(fault, victim(tmp_path_factory, gate, seed), uninterrupted, **how)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(5))
@pytest.mark.parametrize("fault", FAULTS)
def test_thirty_faults(tmp_path_factory, gate, uninterrupted, fault, round_):
    how = {"away_s": 60} if fault == "store away" else {}
    assert_survived(fault, victim(tmp_path_factory, gate, seed=round_), uninterrupted, **how)
