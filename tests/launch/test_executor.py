"""Each step of the compiled graph by its own command: in this environment, and inside the image if one is built."""

import os
import shlex
import subprocess
import sys

import images
import pytest
import yaml
from mlflow import MlflowClient
from quick_run import QUICK
from walk import ORDER, Walk

from mammogan import pipeline
from mammogan.launch.arguments import graph_arguments
from mammogan.launch.compiled import compile_pipeline
from mammogan.launch.pods import Pods

TRIAL = "lambda=3,seed=0"
AS_A_POD = 'touch /opt/x 2>/dev/null && exit 90; [ "$(id -u):$(id -g)" = 1000:0 ] || exit 91; cd /tmp; exec "$@"'
PREPARE = """
set -e
mount --bind {root} {root}
mkdir -p {root}/state {root}/minio
mount --bind {state} {root}/state
mount --bind {minio} {root}/minio
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
mount -t proc proc {root}/proc
for device in null zero urandom; do
  touch {root}/dev/$device
  mount --bind /dev/$device {root}/dev/$device
done
mount -o remount,bind,ro {root}
exec chroot --userspec=1000:0 {root} {inside}
"""


def graph():
    text = compile_pipeline(pipeline.experiment, None, Pods(image="walk@sha256:" + "0" * 64, accelerators=0))
    return next(yaml.safe_load_all(text))


def arguments(store):
    return graph_arguments("demo", QUICK, store=store).parameters()


def check(walk, tracking_uri):
    assert list(walk.outputs) == list(ORDER)
    assert walk.outputs["train"] == walk.outputs["evaluate"] == "finished"
    assert walk.outputs["filter-minority"] is walk.outputs["select"] is True
    client = MlflowClient(tracking_uri)
    (experiment,) = [item for item in client.search_experiments() if item.name == "mammogan"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 2
    champion = client.get_model_version_by_alias("mammogan", "champion")
    assert str(champion.version) == walk.outputs["register"]
    assert (walk.folder / "finish" / "page").stat().st_size > 1000


@pytest.mark.long
def test_every_step_runs_by_the_command_that_was_compiled(tmp_path):
    tracking_uri = f"sqlite:///{tmp_path}/mlflow.db"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "MAMMOGAN_CACHE": str(tmp_path / "cache")}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"

    def run(name, command):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"

    folder = tmp_path / "artifacts"
    folder.mkdir()
    walk = Walk(graph(), arguments(str(tmp_path / "store")), str(folder), folder, run)
    walk.all_steps(TRIAL)
    check(walk, tracking_uri)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not images.has(images.CPU), reason=f"set MAMMOGAN_TEST_IMAGE, be root, and build {images.CPU}")
def test_every_step_runs_in_the_image_as_a_plain_user_on_a_read_only_root(tmp_path):
    """Like a restricted pod: user 1000, group 0, nothing writable but the volumes that Kubeflow mounts."""
    state, artifacts = tmp_path / "state", tmp_path / "minio" / "mlpipeline"
    for folder in (state, artifacts):
        folder.mkdir(parents=True)
    tracking_uri = f"sqlite:///{state}/mlflow.db"
    MlflowClient(tracking_uri).create_experiment("mammogan", artifact_location="/state/artifacts")
    for folder in (tmp_path, *tmp_path.rglob("*")):
        os.chown(folder, 1000, 0)
    configuration = images.inspect(images.CPU)["config"]
    assert configuration["User"] == "1000:0"
    with images.mounted(images.CPU) as root:
        variables = [*configuration["Env"], "MLFLOW_TRACKING_URI=sqlite:////state/mlflow.db"]

        def run(name, command):
            os.chown(artifacts / name, 1000, 0)
            inside = ["/usr/bin/env", "-i", *variables, "sh", "-c", AS_A_POD, "sh", *command]
            script = PREPARE.format(root=root, state=state, minio=tmp_path / "minio", inside=shlex.join(inside))
            done = subprocess.run(["unshare", "--mount", "bash", "-c", script], capture_output=True, text=True)
            assert done.returncode == 0, f"{name}: {done.returncode} {done.stderr[-3000:]}"

        walk = Walk(graph(), arguments("/state/store"), "minio://mlpipeline", artifacts, run)
        walk.all_steps(TRIAL)
    check(walk, tracking_uri)
