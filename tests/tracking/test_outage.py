"""Three branches train against MLflow on PostgreSQL and S3 while the server dies and the network loses requests."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from mlflow_servers import lossy_proxy, mlflow_server, postgres
from sample_run import grid
from servers import seaweedfs

from mammogan import tracking
from mammogan.config import PRESETS, Branch

TESTS = Path(__file__).resolve().parents[1]
EPOCHS = 120
EPOCH_S = 0.15
OUTAGE_S = 10
KEYS = [f"train/{name}" for name in ("wasserstein", "penalty", "generator_loss", "gradient_norm", "learning_rate")]

TRAINING = """
import sys, time
from pathlib import Path
from mammogan import tracking
from mammogan.config import PRESETS, Branch

parent, name, grids, epochs, epoch_s = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
slowest_s = 0.0
with tracking.branch_log(parent, Branch.parse(name), PRESETS["demo"], step="train") as log:
    for epoch in range(1, epochs + 1):
        started = time.monotonic()
        log.metrics(epoch, {key: epoch + i / 10 for i, key in enumerate(sys.argv[6:])})
        if epoch % 40 == 0:
            log.grid(epoch, grids / f"epoch_{epoch:04d}.png")
        slowest_s = max(slowest_s, time.monotonic() - started)
        time.sleep(epoch_s)
    log.finish({"status": "finished", "branch": name})
print(slowest_s)
"""


@pytest.mark.long
def test_an_outage_and_a_lossy_network_lose_nothing_and_double_nothing(tmp_path, monkeypatch):
    grids = tmp_path / "grids"
    grids.mkdir()
    for epoch in range(40, EPOCHS + 1, 40):
        (grids / f"epoch_{epoch:04d}.png").write_bytes(grid(epoch))
    with (
        postgres() as database,
        seaweedfs(tmp_path / "s3") as store,
        mlflow_server(database, "s3://mlflow/artifacts", tmp_path / "mlflow", store.environment) as server,
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
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
        monkeypatch.setenv("MAMMOGAN_SPOOL", str(tmp_path / "spool"))
        tracking.ensure_experiment("outage")
        parent = tracking.open_parent("outage", "key", PRESETS["demo"], {})
        branches = [Branch(gp_lambda, 0) for gp_lambda in (0.5, 3.0, 5.0)]
        processes = [start_training(parent, branch, grids) for branch in branches]
        time.sleep(EPOCHS * EPOCH_S / 3)
        server.stop()
        time.sleep(OUTAGE_S)
        server.start()
        slowest_s = [finished(process) for process in processes]
        record = tracking.read_run(parent)
        points = {branch: all_points(parent, branch) for branch in branches}
        stored = s3.list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["KeyCount"]
    assert proxy.lost >= 10
    assert [item.branch for item in record.branches] == branches
    expected = {key: [(epoch, epoch + i / 10) for epoch in range(1, EPOCHS + 1)] for i, key in enumerate(KEYS)}
    for branch in branches:
        assert points[branch] == expected
    for item in record.branches:
        assert item.info["status"] == "finished"
        assert item.grids == {epoch: grid(epoch) for epoch in range(40, EPOCHS + 1, 40)}
    assert stored >= 9
    assert max(slowest_s) < 1.0  # the training never waited for the server
    assert list((tmp_path / "spool").iterdir()) == []


def start_training(parent, branch, grids):
    command = [sys.executable, "-c", TRAINING, parent, branch.name, str(grids), str(EPOCHS), str(EPOCH_S), *KEYS]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process):
    """Longest time that one epoch's reporting took, in seconds."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out)


def all_points(parent, branch):
    """Every stored point of the training's metrics, duplicates included."""
    client, run_id = tracking.client(), tracking.find_branch(parent, branch)
    return {key: sorted((m.step, m.value) for m in client.get_metric_history(run_id, key)) for key in KEYS}
