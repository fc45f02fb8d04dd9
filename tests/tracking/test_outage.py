"""Three trials train against MLflow on PostgreSQL and S3 while the server dies and the network loses requests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from mlflow_servers import lossy_proxy, mlflow_server, postgres
from sample_run import grid
from servers import seaweedfs

from mammogan import results, tracking
from mammogan.config import PRESETS, Trial
from mammogan.results import Evaluation, TrialResult, TrialStatus

TESTS = Path(__file__).resolve().parents[1]
LAMBDAS = (0.5, 3.0, 5.0)
EPOCHS = 120
EPOCH_S = 0.15
OUTAGE_S = 10
KEYS = [f"train/{name}" for name in ("wasserstein", "penalty", "generator_loss", "gradient_norm", "learning_rate")]

TRAINING = """
import sys, time
from pathlib import Path
from mammogan import tracking
from mammogan.config import PRESETS, Trial
from mammogan.results import TrialResult, TrialStatus

parent, name, grids, epochs, epoch_s = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
slowest_s = 0.0
trial = Trial.parse(name)
with tracking.trial_log(parent, trial, PRESETS["demo"], step="train") as log:
    for epoch in range(1, epochs + 1):
        started = time.monotonic()
        log.metrics(epoch, {key: epoch + i / 10 for i, key in enumerate(sys.argv[6:])})
        if epoch % 40 == 0:
            log.grid(epoch, grids / f"epoch_{epoch:04d}.png")
        slowest_s = max(slowest_s, time.monotonic() - started)
        time.sleep(epoch_s)
    log.finish(TrialResult(trial.gp_lambda, trial.seed, "d" * 64, epochs, TrialStatus.FINISHED))
print(slowest_s)
"""


# KFP's local runner works on two trials at once, whatever ParallelFor asks for; here it works on three
GRAPH = """
import sys
from kfp.local.orchestrator.enhanced_dag_orchestrator import ParallelExecutor

def three_workers(self, max_workers=None):
    self.conservative_max = self.max_workers = 3

ParallelExecutor.__init__ = three_workers
from mammogan.command_line import app
app(sys.argv[1:])
"""
GRAPH_EPOCHS, GRAPH_OUTAGE_S, START_S, END_S = 80, 120, 600, 1200
SETTINGS = (
    "lambdas=0.5,3,5", "data.size=28", "model.generator_channels=16", "model.critic_channels=4", "train.batch_size=4",
    f"train.epochs={GRAPH_EPOCHS}", f"train.snapshot_every={GRAPH_EPOCHS // 2}", "evaluate.fakes=16",
    "evaluate.pairs=16", "select.min_diversity=0", "utility.steps=2", "utility.shares=1.0",
)  # fmt: skip


@contextlib.contextmanager
def servers(folder):
    """An MLflow server on PostgreSQL and S3, the lossy network in front of it, and a client of the S3 server."""
    with (
        postgres() as database,
        seaweedfs(folder / "s3") as store,
        mlflow_server(database, "s3://mlflow/artifacts", folder / "mlflow", store.environment) as server,
        lossy_proxy(server.uri) as proxy,
    ):
        s3 = boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            region_name="us-east-1",
        )
        s3.create_bucket(Bucket="mlflow")
        yield server, proxy, s3


@pytest.mark.long
@pytest.mark.timeout(START_S + GRAPH_OUTAGE_S + END_S)
def test_the_graph_trains_three_trials_at_once_through_an_outage_of_two_minutes(tmp_path, monkeypatch):
    with servers(tmp_path) as (server, proxy, s3), start_graph(tmp_path, proxy.uri) as graph:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        wait_until_three_train(graph, tmp_path)
        stopped_ms = 1000 * time.time()
        server.stop()
        time.sleep(GRAPH_OUTAGE_S)
        server.start()
        started_ms = 1000 * time.time()
        graph.wait(END_S)
        assert graph.returncode == 0, (tmp_path / "graph.log").read_text()[-4000:]
        assert proxy.lost >= 20
        runs = {run.info.run_name: run for run in all_runs()}
        stored = s3.list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["KeyCount"]
        assert stored > 3 * GRAPH_EPOCHS // 10  # the artifacts are in S3, not on this disk
        trials = {name: run for name, run in runs.items() if name.startswith("lambda=")}
        assert sorted(trials) == ["lambda=0.5,seed=0", "lambda=3,seed=0", "lambda=5,seed=0"]
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        for name, run in trials.items():
            points = every_point(run)
            assert_no_doubles(points, trained(tmp_path, name), measured(run))
            at = [point.timestamp for point in points["train/penalty"]]
            assert min(at) < stopped_ms  # each of the three trained before and during the outage
            assert any(stopped_ms + 10_000 < ms < started_ms for ms in at)
        (parent,) = [run for name, run in runs.items() if name not in trials]
        points_of = every_point(parent)
        assert {key.split("/")[0] for key in points_of} >= {"synthetic", "audit", "utility"}
        assert not {key for key, points in points_of.items() if len(points) != 1}
        (version,) = tracking.client().search_model_versions("name = 'mammogan'")
        assert version.run_id in {run.info.run_id for run in trials.values()}
        print(f"{proxy.lost} of {proxy.seen} requests lost; {stored} objects in S3; {len(points)} keys of a trial")
    assert list((tmp_path / "spool").iterdir()) == []


@contextlib.contextmanager
def start_graph(folder, tracking_uri):
    """The whole graph on a phantom, below ``folder / "out"``; killed with its steps where the test fails."""
    command = [sys.executable, "-c", GRAPH, "run", "--preset", "demo", "--out", str(folder / "out")]
    command += ["--tracking-uri", tracking_uri, *(part for setting in SETTINGS for part in ("--set", setting))]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent), "MAMMOGAN_SPOOL": str(folder / "spool")}
    with (folder / "graph.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=TESTS.parent, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_three_train(graph, folder):
    """Return once MLflow has an epoch of each of the three trials."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and graph.poll() is None:
        training = [run for run in all_runs() if "train/penalty" in run.data.metrics]
        if len(training) == len(LAMBDAS):
            return
        time.sleep(1)
    pytest.fail(f"three trials never trained at once: {(folder / 'graph.log').read_text()[-4000:]}")


def all_runs():
    client = tracking.client()
    experiment = client.get_experiment_by_name("mammogan")
    return client.search_runs([experiment.experiment_id]) if experiment else []


def every_point(run):
    """Every stored point of a run, duplicates included, by key."""
    client = tracking.client()
    return {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}


def trained(folder, trial):
    """What the training of a trial left on the disk: (key, epoch) to value."""
    for record in (folder / "out").rglob("trial.json"):
        history = record.with_name("history.jsonl")
        if results.read(TrialResult, record).trial.name == trial and history.is_file():
            lines = [json.loads(line) for line in history.read_text().splitlines()]
            return {(key, line["epoch"]): value for line in lines for key, value in line["metrics"].items()}
    raise AssertionError(f"no history of {trial} below {folder}")


def measured(run):
    """What the evaluation of a trial recorded: (key, epoch) to value."""
    content = tracking.client().download_artifacts(run.info.run_id, "evaluation.json")
    measurements = results.read(Evaluation, content).measurements
    return {(item.key, item.epoch): item.value for item in measurements}


def assert_no_doubles(points, *expected):
    """No (key, step) is stored twice; those of ``expected`` are there with their values, and nothing else is."""
    for key, series in points.items():
        assert len({point.step for point in series}) == len(series), f"{key} is doubled"
    stored = {(key, point.step): point.value for key, series in points.items() for point in series}
    wanted = {place: value for part in expected for place, value in part.items()}
    assert {place: stored.get(place) for place in wanted} == wanted
    others = {key for key, _ in stored.keys() - wanted.keys() if not key.startswith("system/")}
    assert not {key for key in others if not key.endswith(("/low", "/high", "/reference"))}
    assert {step for key, step in stored if key.startswith("system/")} == set(range(1, GRAPH_EPOCHS + 1))


@pytest.mark.long
def test_an_outage_and_a_lossy_network_lose_nothing_and_double_nothing(tmp_path, monkeypatch):
    grids = tmp_path / "grids"
    grids.mkdir()
    for epoch in range(40, EPOCHS + 1, 40):
        (grids / f"epoch_{epoch:04d}.png").write_bytes(grid(epoch))
    with servers(tmp_path) as (server, proxy, s3):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
        monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
        tracking.ensure_experiment("outage")
        parent = tracking.open_parent("outage", "key", PRESETS["demo"], {})
        trials = [Trial(gp_lambda, 0) for gp_lambda in LAMBDAS]
        processes = [start_training(parent, trial, grids) for trial in trials]
        time.sleep(EPOCHS * EPOCH_S / 3)
        server.stop()
        time.sleep(OUTAGE_S)
        server.start()
        slowest_s = [finished(process) for process in processes]
        record = tracking.read_run(parent)
        points = {trial: all_points(parent, trial) for trial in trials}
        stored = s3.list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["KeyCount"]
    assert proxy.lost >= 10
    assert [item.trial for item in record.trials] == trials
    expected = {key: [(epoch, epoch + i / 10) for epoch in range(1, EPOCHS + 1)] for i, key in enumerate(KEYS)}
    for trial in trials:
        assert points[trial] == expected
    for item in record.trials:
        assert item.training.status is TrialStatus.FINISHED
        assert item.grids == {epoch: grid(epoch) for epoch in range(40, EPOCHS + 1, 40)}
    assert stored >= 9
    assert max(slowest_s) < 1.0  # the training never waited for the server
    assert list((tmp_path / "spool").iterdir()) == []


def start_training(parent, trial, grids):
    command = [sys.executable, "-c", TRAINING, parent, trial.name, str(grids), str(EPOCHS), str(EPOCH_S), *KEYS]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process):
    """Longest time that one epoch's reporting took, in seconds."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def all_points(parent, trial):
    """Every stored point of the training's metrics, duplicates included."""
    client, run_id = tracking.client(), tracking.find_trial(parent, trial)
    return {key: sorted((m.step, m.value) for m in client.get_metric_history(run_id, key)) for key in KEYS}
