"""SIGKILL in one step of the graph after another; running it again ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mammogan import tracking
from mammogan.tracking import janitor

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("start", "ingest", "filter-minority", "train", "evaluate", "select", "register", "finish")
SETTINGS = (
    "lambdas=3", "data.size=28", "model.generator_channels=16", "model.critic_channels=4", "train.epochs=3",
    "train.snapshot_every=3", "evaluate.fakes=10", "evaluate.pairs=10", "select.min_diversity=0",
)  # fmt: skip


def start_graph(out):
    command = [sys.executable, "pipeline.py", "run", "--preset", "demo", "--out", str(out)]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_within(step, process, after_s):
    """Kill the graph and everything it started, some time after it began a step; whether that came to pass."""
    for line in process.stderr:
        if line.strip() == f"-> {step}":
            time.sleep(after_s)
            break
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("steps", [("train", "register"), STEPS], ids=["some", "all"])
def test_killed_in_each_step_and_run_again(tmp_path, monkeypatch, steps):
    if steps is STEPS and "MAMMOGAN_TEST_EVERY_KILL" not in os.environ:
        pytest.skip("takes five minutes; set MAMMOGAN_TEST_EVERY_KILL to run it")
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = random.Random(0)
    killed = [kill_within(step, start_graph(tmp_path), rng.uniform(0, 5)) for step in steps]
    assert sum(killed) >= len(steps) - 1  # a quick step may be over before the blow falls
    last = start_graph(tmp_path)
    _, shown = last.communicate(timeout=600)
    assert last.returncode == 0, shown

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = tracking.client()
    janitor.sweep("mammogan", patience_s=0)
    experiment = client.get_experiment_by_name("mammogan").experiment_id
    runs = client.search_runs([experiment])
    assert sorted((run.data.tags["mammogan.kind"], run.info.status) for run in runs) == [
        ("branch", "FINISHED"), ("pipeline", "FINISHED"),
    ]  # fmt: skip
    branch = next(run for run in runs if run.data.tags["mammogan.kind"] == "branch")
    history = client.get_metric_history(branch.info.run_id, "train/penalty")
    assert sorted(metric.step for metric in history) == [1, 2, 3]
    (version,) = client.search_model_versions("name = 'mammogan'")
    aliases = client.get_registered_model("mammogan").aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"champion": str(version.version)}
