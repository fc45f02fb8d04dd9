"""The graph: what its compiled form says, and a small run of it with one trial that is made to fail."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import leaks
import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from kfp import compiler
from mlflow import MlflowClient
from PIL import Image
from warm_interpreter import warm_python

from mammogan import pipeline
from mammogan.results import AUC_GAIN, MEMORISED, PAIRS, Quantity

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "data.size": "28",
    "train.epochs": "2",
    "train.snapshot_every": "1",
    "train.batch_size": "8",
    "model.generator_channels": "32",
    "model.critic_channels": "4",
    "evaluate.fakes": "8",
    "evaluate.pairs": "16",
    "select.min_diversity": "0",
    "audit.max_duplicates": "1",
    "utility.steps": "2",
    "utility.seeds": "2",
    "utility.shares": "1.0",
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(pipeline.experiment, str(path))
    return yaml.safe_load(path.read_text())


def tasks(spec):
    """Every task with its path of enclosing groups."""

    def walk(dag, above):
        for name, task in dag["tasks"].items():
            yield (*above, name), task
            inner = spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                yield from walk(inner["dag"], (*above, name))

    return dict(walk(spec["root"]["dag"], ()))


def test_dependencies_are_as_drawn(spec):
    needs = {path[-1]: set(task.get("dependentTasks", ())) for path, task in tasks(spec).items()}
    assert needs["ingest"] == {"start"}
    assert needs["filter-minority"] == {"ingest"}
    assert needs["evaluate"] == {"train"}
    assert any(name.startswith("for-loop") for name in needs["select"])
    assert needs["finish"] == {"exit-handler-1"}
    groups = {path[-1]: path[:-1] for path in tasks(spec)}
    assert len(groups["train"]) == len(groups["evaluate"]) == 3
    assert needs["register"] == {"evaluate-winner"} | needs["evaluate-winner"]
    assert needs["synthesise"] >= {"register"}
    assert needs["audit"] == needs["utility"] == {"register", "synthesise"}
    assert needs["promote"] == {"register", "audit"}
    changed, accepted = groups["register"][-2:]
    for step in ("evaluate-winner", "register", "synthesise", "audit", "promote", "utility"):
        assert groups[step][-2:] == (changed, accepted)
    assert groups["select"][-1] == groups["train"][-2] == changed
    assert changed.startswith("condition")
    assert groups["finish"] == ()


def test_no_task_output_parameter_enters_the_parallel_loop(spec):
    """KFP 2.17's local runner would silently replace it with the loop's item."""
    loops = [task for path, task in tasks(spec).items() if "parameterIterator" in task]
    assert len(loops) == 1
    for name, given in loops[0]["inputs"].get("parameters", {}).items():
        assert "taskOutputParameter" not in given, name


def test_no_step_is_cached(spec):
    steps = {path[-1]: task for path, task in tasks(spec).items() if "cachingOptions" in task}
    assert len(steps) == 13
    assert {name for name, task in steps.items() if task["cachingOptions"].get("enableCache")} == set()


def test_components_are_thin():
    for path in (ROOT / "components").glob("[a-z]*.py"):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert len(functions) == 1, path
        statements = [node for node in ast.walk(functions[0]) if isinstance(node, ast.stmt)]
        assert len(statements) <= 16, path


def graph_command(out, *arguments, python=sys.executable, **settings):
    sets = [item for key, value in {**TINY, **settings}.items() for item in ("--set", f"{key}={value}")]
    return [python, "pipeline.py", "run", "--preset", "demo", "--out", str(out), *sets, *arguments]


def graph_environment(out):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return {**kept, "MAMMOGAN_CACHE": str(out / "cache")}


def run_graph(out, *arguments, **settings):
    command = graph_command(out, *arguments, python=warm_python(), **settings)
    environment = graph_environment(out)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1500)  # five minutes where nothing else runs
def test_a_small_run(tmp_path, monkeypatch):
    """Three trials on a phantom, of which lambda=1e300 cannot stay finite; one test, because the run is the cost."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    done = run_graph(tmp_path, "--lambdas", "0.5,3,1e300")
    assert done.returncode == 0, done.stdout + done.stderr
    _tells_what_failed(tmp_path, done)
    _names_no_patient(tmp_path, done)
    _mlflow_holds_everything()
    _champion_makes_images()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_the_same_command_again_trains_nothing_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    done = run_graph(tmp_path, "--lambdas", "0.5")
    assert done.returncode == 0, done.stdout + done.stderr
    store = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.pt")}
    assert store
    again = run_graph(tmp_path, "--lambdas", "0.5")
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.pt")} == store
    assert "finished by an earlier run" in again.stderr


def _names_no_patient(out, done):
    """The phantom's are P_00001 to P_00048; comments of the code, which lies with the model, name CBIS-DDSM's."""
    left = [path for path in out.rglob("*") if path.is_file() and "/artifacts/code/" not in str(path)]
    words = [f"P_000{tens}" for tens in range(5)]
    assert leaks.occurrences(words, [path for path in left if (out / "data") not in path.parents], [done.stderr]) == []
    assert leaks.occurrences(words, [out / "data" / "phantom" / "mass_case_description_train_set.csv"])


def _tells_what_failed(out, done):
    assert "winner" in done.stdout
    assert "on test  KID " in done.stdout
    assert "this test set has been looked at once\n" in done.stdout
    assert "failed   lambda=1e+300,seed=0: epoch 1" in done.stdout
    report = next(out.glob("run-*/report/report.html")).read_text()
    assert "lambda=1e+300" in report
    assert "random" in report.lower()


def _mlflow_holds_everything():
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("mammogan").experiment_id
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert {name: run.info.status for name, run in children.items()} == {
        "lambda=0.5,seed=0": "FINISHED",
        "lambda=3,seed=0": "FINISHED",
        "lambda=1e+300,seed=0": "FAILED",
        "real against real": "FINISHED",
    }
    assert {key for key in parents[0].data.metrics if key.startswith("result/")} == {
        "result/kid_test_random_vgg", "result/fid_test_random_vgg", AUC_GAIN, MEMORISED,
    }  # fmt: skip
    keys = {key for run in runs for key in run.data.metrics}
    sections = {key.rpartition("/")[0] for key in keys}
    assert len(keys) <= 40  # what MLflow's Charts page draws without a view
    assert sections == {"random_vgg", "result", PAIRS, "train", "system"}
    assert min(sections) == "random_vgg"  # the page's order, in which KID is first
    for name in ("lambda=0.5,seed=0", "lambda=3,seed=0"):
        assert not [key for key in children[name].data.metrics if "_test" in key]
        for quantity in (Quantity("kid", "random_vgg", "train"), Quantity("ms_ssim", "", "fake_fake")):
            points = client.get_metric_history(children[name].info.run_id, quantity.key)
            assert {point.step for point in points} == {1, 2}


def _champion_makes_images():
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    model = mlflow.pyfunc.load_model("models:/mammogan@champion")
    images = model.predict(pd.DataFrame({"n": [3], "seed": [0]}), params={"format": "array"})
    assert images.shape == (3, 28, 28)


@pytest.mark.long
def test_a_run_whose_trials_all_fail_fails_with_the_reasons(tmp_path):
    done = run_graph(tmp_path, "--lambdas", "1e300")
    assert done.returncode == 1
    assert "lambda=1e+300" in done.stdout + done.stderr
    status = json.loads(next(tmp_path.glob("run-*/status.json")).read_text())
    assert status == {"status": "failed"}


@pytest.mark.slow
def test_a_failed_ingest_says_so_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_graph(tmp_path, "--source", str(tmp_path / "empty"))
    assert done.returncode == 1
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1
    assert "empty" in error[0]
    assert "step ingest" in error[0]


def test_a_path_that_is_nowhere_is_reported_before_any_step(tmp_path):
    for wrong in (["--source", str(tmp_path / "nowhere")], ["--lpips-weights", str(tmp_path / "nowhere")]):
        done = run_graph(tmp_path / "out", *wrong)
        assert done.returncode == 2
        assert "nowhere': no such file or folder" in done.stderr
        assert not (tmp_path / "out").exists()


def write_crops(folder, count):
    """``count`` images with a bright blob, half of them malignant, one patient each; adding one changes no other."""
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:28, :28]
    rows = []
    for number in range(count):
        rng = np.random.default_rng(number)
        (row, column), spread = rng.uniform(8, 20, 2), rng.uniform(8, 30)
        blob = 60 + 150 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / spread) + rng.normal(0, 4, (28, 28))
        Image.fromarray(blob.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", f"P{number}", "MALIGNANT" if number % 2 else "BENIGN"))
    pd.DataFrame(rows, columns=["file", "patient_id", "pathology"]).to_csv(folder / "manifest.csv", index=False)
    return str(folder)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_retraining_stops_without_a_change_runs_with_one_and_keeps_a_better_champion(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MAMMOGAN_IMAGE", "registry.example.org/mammogan@sha256:" + "c" * 64)
    given = ("--lambdas", "3", "--if-changed", "--source", write_crops(tmp_path / "crops", 61))
    lenient = {f"audit.max_{check}": "1" for check in ("memorised", "duplicates", "nearer", "membership")}
    trained = {"train.epochs": "40", "train.snapshot_every": "40", "evaluate.fakes": "40", **lenient}
    assert run_graph(tmp_path, *given, **trained).returncode == 0

    again = run_graph(tmp_path, *given, **trained)
    assert again.returncode == 0, again.stderr
    assert "verdict  nothing to train: data, code and settings are those of mammogan@champion" in again.stdout
    assert "-> train" not in again.stderr
    assert "nothing to train" in sorted(tmp_path.glob("run-*-2/report/report.html"))[0].read_text()

    write_crops(tmp_path / "crops", 62)
    worse = run_graph(tmp_path, *given, **{**trained, "train.epochs": "1", "train.learning_rate": "1e-9"})
    assert worse.returncode == 0, worse.stderr
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("mammogan").experiment_id], order_by=["start_time"])
    first, stopped, last = [run for run in runs if run.data.tags["mammogan.kind"] == "pipeline"]
    assert [run.info.status for run in (first, stopped, last)] == ["FINISHED"] * 3
    assert len(runs) == 3 + 2
    assert (stopped.info.end_time - stopped.info.start_time) / 1000 < 60
    assert "data " in last.data.tags["mammogan.retraining"]
    assert "version 2 and champion version 1 are measured on the same" in worse.stderr
    assert "refused: better than version 1: " in worse.stdout
    assert str(client.get_model_version_by_alias("mammogan", "champion").version) == "1"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_sigterm_ends_every_step_and_the_same_command_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    long = {"train.epochs": "400", "train.snapshot_every": "400"}
    given = graph_command(tmp_path, "--lambdas", "3", **long)
    process = subprocess.Popen(given, cwd=ROOT, env=graph_environment(tmp_path), stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.strip() == "-> train":
            break
    time.sleep(15)
    steps = psutil.Process(process.pid).children(recursive=True)
    assert steps
    process.terminate()
    _, shown = process.communicate(timeout=40)
    assert process.returncode != 0
    assert "run the same command again to resume" in shown
    assert not [step for step in steps if step.is_running() and step.status() != psutil.STATUS_ZOMBIE]
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    runs = client.search_runs([client.get_experiment_by_name("mammogan").experiment_id])
    assert {run.info.status for run in runs} == {"KILLED"}
    assert list((tmp_path / "store").rglob("step_*.checkpoint"))
