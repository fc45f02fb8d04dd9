"""Real faults at random moments of a real process: each run continues to the same bits as if nothing had happened.

Where the fault makes an end impossible, the run ends with one error of one line and its last checkpoint whole.
``make test`` does a few; ``make test-long`` thirty, with the store away for a full minute.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import boto3
import pytest
import servers
from branch_process import OVERRIDES, result
from gate import Gate

from mammogan.training.checkpoint import Checkpoints

SCRIPT = Path(__file__).with_name("branch_process.py")
STEPS = OVERRIDES["train.epochs"] * 3
BUCKET = "torture"
TO_LEAVE_S = 10
DISK_MB = 4

pytestmark = [pytest.mark.xdist_group("s3"), pytest.mark.timeout(900)]


class Victim:
    """A branch in a process, its folder, and the store that it writes to."""

    def __init__(self, folder, gate, seed):
        self.folder, self.gate, self.rng = folder, gate, random.Random(seed)
        self.remote = f"s3://{BUCKET}/{folder.name}"

    def start(self, store=None):
        command = [sys.executable, str(SCRIPT), str(self.folder), store or str(self.folder / "store")]
        environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "AWS_ENDPOINT_URL_S3": self.gate.endpoint}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def wait_for_a_moment(self, process):
        """Some time after the beginning of a random step, so that it may also fall on writing a checkpoint."""
        wanted = f"step {self.rng.randrange(STEPS)}\n"
        for line in process.stdout:
            if line == wanted:
                time.sleep(self.rng.uniform(0, 0.2))
                return

    def strike(self, number, store=None):
        """Start it and send a signal at a random moment; its exit status, which is 0 where it was done before."""
        with self.start(store) as process:
            self.wait_for_a_moment(process)
            process.send_signal(number)
            assert_leaves_in_time(process)
        assert process.returncode in (0, -number if number == signal.SIGKILL else 128 + number)

    def ends(self, store=None):
        """Run it to its end, which must be the good one."""
        with self.start(store) as process:
            _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said


def killed(victim):
    victim.strike(signal.SIGKILL)
    victim.ends()


def terminated(victim):
    victim.strike(signal.SIGTERM)
    victim.ends()


def truncated(victim):
    victim.strike(signal.SIGKILL)
    found = sorted(victim.folder.rglob("step_*.pt"))
    if found:
        newest = max(found)
        os.truncate(newest, victim.rng.randrange(newest.stat().st_size))
        if len(found) == 1:  # nothing is left to fall back upon
            with victim.start() as process:
                _, said = process.communicate(timeout=300)
            assert process.returncode == 1
            assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
            assert "every checkpoint is corrupt; remove the folder" in said
            newest.unlink()
    victim.ends()


def disk_full(victim):
    """Both the branch's folder and the store on a small disk, which another one fills."""
    with small_disk(victim.folder) as disk, victim.start() as process:
        victim.wait_for_a_moment(process)
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        _, said = process.communicate(timeout=300)
        if process.returncode:
            assert process.returncode == 1
            (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
            assert "No space left on device" in error
            assert "Traceback" not in said
            assert not list(disk.rglob("*.part"))
            assert_last_checkpoint_whole(victim.folder)
        ballast.unlink()
        victim.ends()
        return result(victim.folder)


def store_away(victim, away_s):
    """The run waits for it and then ends well, all in one process."""
    with victim.start(victim.remote) as process:
        victim.wait_for_a_moment(process)
        victim.gate.shut()
        back = threading.Timer(away_s, victim.gate.open)
        back.start()
        _, said = process.communicate(timeout=600)
        back.join()
    assert process.returncode == 0, said


def terminated_while_the_store_is_away(victim):
    with victim.start(victim.remote) as process:
        victim.wait_for_a_moment(process)
        victim.gate.shut()
        process.send_signal(signal.SIGTERM)
        assert_leaves_in_time(process)
        victim.gate.open()
    victim.ends(victim.remote)


def assert_leaves_in_time(process):
    """Within ten seconds, in ticks of ours: while the whole machine stands still, nobody can leave."""
    for _ in range(TO_LEAVE_S * 20):
        time.sleep(0.05)
        if process.poll() is not None:
            return
    process.kill()
    pytest.fail(f"still there after {TO_LEAVE_S} s")


@contextlib.contextmanager
def small_disk(folder):
    """A disk of 4 MB at ``folder``."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def assert_last_checkpoint_whole(folder):
    places = {path.parent for path in folder.rglob("step_*.pt")}
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


def assert_survived(fault, victim, uninterrupted, **how):
    kept = FAULTS[fault](victim, **how)
    expected, found = result(uninterrupted[1]), kept or result(victim.folder)
    assert found == expected


@pytest.mark.parametrize(
    ("fault", "how"), [("disk full", {}), ("store away", {"away_s": 3}), ("terminated, store away", {})]
)
def test_a_fault_at_a_random_moment(tmp_path, gate, uninterrupted, fault, how):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    assert_survived(fault, Victim(tmp_path, gate, seed), uninterrupted, **how)


@pytest.mark.long
@pytest.mark.parametrize("round_", range(5))
@pytest.mark.parametrize("fault", FAULTS)
def test_thirty_faults(tmp_path, gate, uninterrupted, fault, round_):
    how = {"away_s": 60} if fault == "store away" else {}
    assert_survived(fault, Victim(tmp_path, gate, seed=round_), uninterrupted, **how)
