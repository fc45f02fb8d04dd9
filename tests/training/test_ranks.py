"""Two processes on gloo compute what one does, and a trial that they train together is a trial like any other."""

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch
from rank_process import outcome
from trial_process import OVERRIDES, result, train, untimed
from warm_interpreter import warm_python

from mammogan import codec
from mammogan.results import TrialResult, TrialStatus
from mammogan.training.ranks import Ranks

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
UNEVEN = {"train.batch_size": 5, "train.critic_batches": "fresh"}

pytestmark = pytest.mark.usefixtures("one_thread")


def start(*command):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [warm_python(), *RUN, *map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*command):
    with start(*command) as process:
        out, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return out, stderr


@pytest.mark.parametrize(("count", "world"), [(32, 2), (5, 2), (7, 3), (4, 4)])
def test_every_row_is_some_processs_and_the_shares_are_even(count, world):
    rows = [list(range(count))[Ranks(rank, world).rows(count)] for rank in range(world)]
    assert list(itertools.chain(*rows)) == list(range(count))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def relative_error(one, other):
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("settings", [{}, UNEVEN], ids=["even", "uneven"])
def test_two_processes_make_the_step_of_one(tmp_path, settings):
    """All but the bias of the critic's head agrees to 1e-5.

    Reals and fakes cancel in the bias's gradient, Adam makes whole steps of the rounding that is left, and the bias
    changes no loss but the generator's, by a constant.
    """
    alone = outcome(Ranks(), 1, settings)
    run(HERE / "rank_process.py", tmp_path / "pair.pt", 1, json.dumps(settings))
    pair = torch.load(tmp_path / "pair.pt", weights_only=True)
    for record in (pair, alone):
        record["means"]["generator_loss"] += record["state"]["critic"]["head.bias"].item()
    assert pair["means"] == pytest.approx(alone["means"], rel=1e-5, abs=1e-6)
    assert pair["gradients"].keys() == alone["gradients"].keys()
    for name, gradient in alone["gradients"].items():
        if name != "critic.head.bias":
            assert relative_error(pair["gradients"][name], gradient) < 1e-5, name
    for name, buffer in alone["state"]["generator"].items():
        if "running" in name:
            assert relative_error(pair["state"]["generator"][name], buffer) < 1e-5, name


def command(dataset, folder, **changes):
    settings = OVERRIDES | {"model.generator_channels": 8} | changes
    parts = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    places = ["--data", dataset, "--out", folder / "out", "--store", folder / "store"]
    return ["-m", "mammogan", "train", "--preset", "demo", "--lambda", "3", *places, *parts]


@pytest.mark.long
def test_a_trial_of_two_processes_is_stopped_continued_and_finished(tmp_path, dataset):
    """One SIGTERM to the launcher; both save at the same step and leave, and both go on from there."""
    many = {"train.epochs": 40, "train.snapshot_every": 20}
    with start(*command(dataset, tmp_path, **many)) as process:
        checkpoints = tmp_path / "store/trials"
        stop = threading.Timer(240, process.kill)
        stop.start()
        while process.poll() is None and not list(checkpoints.rglob("step_*.checkpoint")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        stop.cancel()
    assert process.returncode not in (0, -signal.SIGKILL)
    assert list(checkpoints.rglob("step_*.checkpoint"))
    assert not (tmp_path / "out/trial.json").exists()
    out, stderr = run(*command(dataset, tmp_path, **many), "--json")
    assert stderr.count("continues after step") == 1
    trained = codec.decode(TrialResult, json.loads(out))
    assert (trained.status, trained.epochs_done) == (TrialStatus.FINISHED, 40)
    assert trained.device == "2 x cpu, 1 threads"
    _, history, kept = result(tmp_path)
    assert [row.epoch for row in history] == list(range(1, 41))
    assert kept == untimed(trained)


def test_a_batch_smaller_than_the_processes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--nproc-per-node=5: a batch has 4 images; start at most as many"):
        train(tmp_path, ranks=Ranks(0, 5))
