"""SIGKILL in one step of the graph after another; running it again ends as if nothing had happened."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mammogan import registry, tracking
from mammogan.tracking import janitor

ROOT = Path(__file__).resolve().parents[2]
STEPS = (
    "start", "ingest", "filter-minority", "train", "evaluate", "select", "evaluate-winner",
    "register", "synthesise", "audit", "promote", "utility", "finish",
)  # fmt: skip
SETTINGS = (
    "lambdas=3", "data.size=28", "model.generator_channels=16", "model.critic_channels=4", "train.epochs=3",
    "train.snapshot_every=3", "evaluate.fakes=10", "evaluate.pairs=10", "select.min_diversity=0", "utility.steps=2",
    "utility.shares=1.0", "audit.max_duplicates=1",
)  # fmt: skip


def start_graph(out):
    command = [sys.executable, "pipeline.py", "run", "--preset", "demo", "--out", str(out)]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_within(step, out, rng):
    """Kill the graph and everything it started while a step works; the seconds after the step's function was called.

    Where the step was over before the blow, the graph is started again and hit sooner.
    """
    begun = f"Looking for component `{step.replace('-', '_')}`"
    over = re.compile(rf"Wrote executor output file to \S*/{step}/executor_output.json")
    for longest_s in (4, 2, 1, 0.5, 0.25):
        known = len(all_logs(out))
        process = start_graph(out)
        while begun not in all_logs(out)[known:] and process.poll() is None:
            time.sleep(0.05)
        time.sleep(delay_s := rng.uniform(0, longest_s))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, shown = process.communicate()
        assert begun in all_logs(out)[known:], shown
        if not over.search(all_logs(out)[known:]):
            return delay_s
    raise AssertionError(f"step {step} was over each time before it was hit")


def all_logs(out):
    return "".join(path.read_text(errors="replace") for path in sorted(out.glob("run-*/log.txt")))


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("steps", [("train", "register"), STEPS], ids=["some", "all"])
def test_killed_in_each_step_and_run_again(tmp_path, monkeypatch, steps):
    if steps is STEPS and "MAMMOGAN_TEST_EVERY_KILL" not in os.environ:
        pytest.skip("takes ten minutes; set MAMMOGAN_TEST_EVERY_KILL to run it")
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = random.Random(0)
    delays_s = {step: kill_within(step, tmp_path, rng) for step in steps}
    print({step: round(delay_s, 2) for step, delay_s in delays_s.items()})
    last = start_graph(tmp_path)
    _, shown = last.communicate(timeout=600)
    assert last.returncode == 0, shown

    assert_as_if_nothing_had_happened(tmp_path, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_killed_after_each_write_to_mlflow_and_run_again(tmp_path, monkeypatch):
    """Every place in every step at which MLflow is left half written, one after another."""
    monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MAMMOGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    tracking.ensure_experiment("mammogan", str(tmp_path / "artifacts"))
    command = [sys.executable, str(Path(__file__).with_name("deadly_steps.py")), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log.txt").open("w") as log:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert done.returncode == 0, (tmp_path / "log.txt").read_text()[-4000:]
    deaths = {line["step"]: line["deaths"] for line in map(json.loads, done.stdout.splitlines())}
    assert list(deaths) == list(STEPS)
    assert {step for step, count in deaths.items() if count == 0} == {"ingest"}  # it writes nothing to MLflow
    assert_as_if_nothing_had_happened(tmp_path, monkeypatch)


def assert_as_if_nothing_had_happened(folder, monkeypatch):
    """One finished run with one trial, every point once, one version that is champion by one move."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    client = tracking.client()
    janitor.sweep("mammogan", patience_s=0)
    experiment = client.get_experiment_by_name("mammogan").experiment_id
    runs = client.search_runs([experiment])
    assert sorted((run.data.tags["mammogan.kind"], run.info.status) for run in runs) == [
        ("trial", "FINISHED"), ("pipeline", "FINISHED"),
    ]  # fmt: skip
    for run in runs:
        assert len(run.inputs.dataset_inputs) <= 1
        for key in run.data.metrics:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
            assert len(set(steps)) == len(steps), f"{key} is doubled"
    trial = next(run for run in runs if run.data.tags["mammogan.kind"] == "trial")
    history = client.get_metric_history(trial.info.run_id, "train/penalty")
    assert sorted(metric.step for metric in history) == [1, 2, 3]
    (version,) = client.search_model_versions("name = 'mammogan'")
    (model,) = client.search_registered_models()
    assert {alias: str(number) for alias, number in model.aliases.items()} == {"champion": str(version.version)}
    assert [move.kind for move in registry.moves("mammogan")] == ["promote"]
    assert [item.status for item in client.search_logged_models([experiment])] == ["READY"]
    assert version.description.count("## Utility") == version.description.count("## Privacy") == 1
    registry.snapshot_of("models:/mammogan@champion", folder)
