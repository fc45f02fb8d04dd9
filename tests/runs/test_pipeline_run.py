"""What ``import mammogan`` offers: a run in hand, found by any of its names, shown, and light until it is used."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_run import COLUMNS, paper_run
from typer.testing import CliRunner

import mammogan
from mammogan import registry, shell, tracking
from mammogan.command_line import app
from mammogan.launch import following, store
from mammogan.launch import local as launcher
from mammogan.runs import pipeline_run
from mammogan.runs.pipeline_run import Kubeflow, Run
from mammogan.tracking import links

ROOT = Path(__file__).resolve().parents[2]
LIGHT = """
import json, sys
before = set(sys.modules)
import mammogan
after = set(sys.modules)
mammogan.run, mammogan.submit, mammogan.find, mammogan.generate, mammogan.Run
print(json.dumps([sorted(after - before), sorted(sys.modules), dir(mammogan)]))
"""
HEAVY = {"torch", "mlflow", "kfp", "kfp_server_api", "numpy", "pandas", "matplotlib"}


def test_importing_the_package_loads_nothing_of_it_and_naming_its_functions_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)
    imported, named, offered = json.loads(done.stdout)
    assert [module for module in imported if module.startswith("mammogan.")] == []
    assert not {module.partition(".")[0] for module in imported} & HEAVY
    assert "mammogan.runs.starting" in named
    assert not {module.partition(".")[0] for module in named} & HEAVY
    assert {"run", "submit", "find", "generate", "Run"} <= set(offered)


def test_a_name_that_is_not_offered_is_no_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        mammogan.train  # noqa: B018


@pytest.fixture(scope="module")
def record(measured_run):
    return mammogan.find(measured_run).record


@pytest.fixture
def one_run(record):
    found = Run.of(record.run_id, os.environ["MLFLOW_TRACKING_URI"])
    found._record = record
    return found


class TestFinding:
    """``latest``, a name, a key, the beginning of an id; of a trial too."""

    @pytest.fixture
    def trial(self, record):
        return record.trials[0]

    @pytest.mark.parametrize("name", ["latest", "demo key", "key", "ke"])
    def test_by_name(self, measured_run, name):
        if name == "ke":  # no letters of an id
            with pytest.raises(ValueError, match="run='ke': this MLflow has no run of that name") as refused:
                mammogan.find(name)
            assert f"`{shell.command('mammogan')} runs` lists them" in str(refused.value), "as it is typed"
        else:
            assert mammogan.find(name).run_id == measured_run

    @pytest.mark.parametrize("length", [6, 12, 32])
    def test_by_the_beginning_of_an_id(self, measured_run, trial, length):
        assert mammogan.find(measured_run[:length]).run_id == measured_run
        assert mammogan.find(trial.run_id[:length]).run_id == measured_run

    def test_what_is_nowhere_or_no_name_is_refused(self, measured_run):
        for name in ("", "0" * 32, "%", "_" * 8, "x' OR '1'='1"):
            with pytest.raises(ValueError, match="run="):
                mammogan.find(name)
        with pytest.raises(ValueError, match="experiment='other'"):
            mammogan.find(experiment="other")

    def test_what_means_several_is_refused_with_their_ids(self, measured_run):
        client = tracking.client()
        experiment = client.get_run(measured_run).info.experiment_id
        tags = {"mammogan.kind": "pipeline", "mlflow.runName": "demo key"}
        other = client.create_run(experiment, tags=tags).info.run_id
        try:
            with pytest.raises(ValueError, match="2 runs are meant") as refused:
                mammogan.find("demo key")
            assert measured_run[:8] in str(refused.value)
            assert other[:8] in str(refused.value)
            assert mammogan.find("latest").run_id == other, "the one that began last"
        finally:
            client.delete_run(other)

    def test_the_runs_of_the_working_folder_are_found_without_naming_them(self, measured_run, tmp_path, monkeypatch):
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / store.DATABASE).symlink_to(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        refused = CliRunner().invoke(app, ["compare"])
        assert refused.exit_code == 2
        assert "MLFLOW_TRACKING_URI=''" in refused.stderr
        monkeypatch.chdir(tmp_path)
        assert mammogan.find().run_id == measured_run
        shown = CliRunner().invoke(app, ["compare"])
        assert shown.exit_code == 0
        assert "* winner" in shown.stdout

    @pytest.mark.parametrize("command", [["compare"], ["report"], ["claim"], ["lineage"], ["ui", "--no-browser"]])
    def test_every_command_takes_them(self, measured_run, command, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        asked = []
        monkeypatch.setattr(tracking, "find_run", lambda name, *_: asked.append(name) or 1 / 0)
        CliRunner().invoke(app, [command[0], "demo key", *command[1:]])
        assert asked == ["demo key"]


class TestRun:
    """What a run shows of itself."""

    def test_its_verdict_and_winner_are_the_decisions(self, one_run):
        assert one_run.status == "FINISHED"
        assert one_run.verdict == one_run.record.decision.verdict
        assert one_run.winner == "lambda=0.5,seed=0, epoch 1"
        assert (one_run.model, one_run.promotion) == ("", "")

    def test_its_numbers_and_pictures(self, one_run, tmp_path):
        frame = one_run.frame()
        assert len(frame) == 6
        assert sorted(frame[COLUMNS["kid"][0].key]) == [0.1, 0.165, 0.2, 0.2, 0.235, 0.3]
        picture = one_run.plot()
        assert picture._repr_png_().startswith(b"\x89PNG")
        assert picture.save(tmp_path / "plot.png").read_bytes() == picture.png
        with pytest.raises(RuntimeError, match="run key: nothing was drawn yet"):
            one_run.samples()

    def test_it_is_shown_as_text_and_as_html_in_which_nothing_is_a_tag(self, one_run):
        record = dataclasses.replace(
            paper_run(), tags={"mammogan.promotion": "<b>no</b>"}, run_id=one_run.run_id, status="FINISHED"
        )
        one_run._record = record
        assert f"verdict  {record.decision.verdict}" in repr(one_run)
        page = one_run._repr_html_()
        assert "&lt;b&gt;no&lt;/b&gt;" in page
        assert "<b>" not in page
        assert "<b>" not in one_run._repr_markdown_()

    def test_a_link_is_one_in_a_notebook_and_its_command_is_text(self, one_run, monkeypatch):
        given = "https://mlflow.example.org/#/a?b=1&c=2 (while `mammogan ui` runs)"
        monkeypatch.setattr(links, "link", lambda *_: given)
        assert one_run.link == given
        shown = "https://mlflow.example.org/#/a?b=1&amp;c=2"
        assert f'<a href="{shown}">{shown}</a> (while `mammogan ui` runs)<' in one_run._repr_html_()

    def test_without_a_model_nothing_is_generated(self, one_run):
        with pytest.raises(RuntimeError, match="run key: it registered no model: lambda"):
            one_run.generate(4)

    def test_a_run_that_has_not_begun_says_so(self, measured_run):
        waiting = Run("of-nobody", os.environ["MLFLOW_TRACKING_URI"])
        assert waiting.status == "PENDING"
        assert waiting.verdict == "no decision yet: no step of the run has begun"
        assert "PENDING" in repr(waiting)
        with pytest.raises(RuntimeError, match="MLflow does not know it yet"):
            waiting.table()

    def test_waiting_ends_with_the_run_and_raises_its_reason(self, one_run, monkeypatch):
        running = dataclasses.replace(paper_run(), status="RUNNING")
        failed = dataclasses.replace(running, status="FAILED", tags={"mammogan.reason": "step train: x"})
        ended, slept = iter([running, failed]), []
        monkeypatch.setattr(pipeline_run, "FRESH_S", 0.0)
        one_run._record = None
        monkeypatch.setattr(pipeline_run.time, "sleep", slept.append)
        monkeypatch.setattr(tracking, "read_run", lambda *_: next(ended))
        with pytest.raises(RuntimeError, match="the run ended FAILED: step train: x"):
            one_run.wait()
        assert slept == [pipeline_run.POLL_S]
        monkeypatch.setattr(tracking, "read_run", lambda *_: paper_run())
        fresh = Run.of(one_run.run_id, one_run.tracking_uri)
        assert fresh.wait() is fresh

    def test_a_run_that_goes_on_is_read_anew_and_once_a_look(self, one_run, monkeypatch):
        read = []
        running = dataclasses.replace(paper_run(), status="RUNNING")
        monkeypatch.setattr(tracking, "read_run", lambda *_: read.append(1) or running)
        one_run._record = None
        assert "RUNNING" in repr(one_run)
        assert len(read) == 1
        monkeypatch.setattr(pipeline_run, "FRESH_S", 0.0)
        assert one_run.status == "RUNNING"
        assert len(read) == 2


class TestStarting:
    """The same call as the command's, here and on Kubeflow."""

    def test_here(self, monkeypatch, tmp_path):
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        asked = []

        def run(_graph, arguments, out, tracking_uri):
            asked.append((arguments.configuration.train.epochs, arguments.trials, tracking_uri))
            return launcher.LocalRun(out / "run-a-1", "a-1")

        monkeypatch.setattr(launcher, "run", run)
        started = mammogan.run("demo", settings={"train.epochs": 3, "lambdas": (0.5,)}, out=tmp_path)
        assert asked == [(3, ("lambda=0.5,seed=0",), "")]
        assert (started.key, started.tracking_uri) == ("a-1", f"sqlite:///{tmp_path / 'mlflow.db'}")
        done = CliRunner().invoke(app, ["run", "--set", "train.epochs=3", "--lambdas", "0.5", "--out", str(tmp_path)])
        assert done.exit_code == 0
        assert asked[1] == asked[0]

    def test_a_run_that_was_submitted_is_followed_where_it_is(self, monkeypatch):
        followed = []
        monkeypatch.setattr(
            following, "follow", lambda server, run_id, uri, **more: followed.append((run_id, uri, more))
        )
        monkeypatch.setattr("mammogan.launch.server.reach", lambda *_: __import__("contextlib").nullcontext())
        Run("id", "http://mlflow:5000", Kubeflow("http://kfp", "", 7, "mine")).wait()
        assert followed == [("id", "http://mlflow:5000", {"pending_minutes": 7, "settings": "mine"})]


def test_generate_asks_the_registry(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    asked = []
    monkeypatch.setattr(registry, "generate", lambda *given: asked.append(given) or np.zeros((16, 4, 4), np.uint8))
    assert mammogan.generate("models:/mammogan@champion", 16, seed=3).shape == (16, 4, 4)
    assert asked == [("models:/mammogan@champion", 16, 3, 1.0, "http://mlflow:5000")]


def test_images_are_written_with_a_contact_sheet_beside_their_folder(monkeypatch, tmp_path):
    from mammogan.data import picture

    images = np.arange(10, dtype=np.uint8)[:, None, None] + np.zeros((10, 4, 4), np.uint8)
    monkeypatch.setattr(registry, "generate", lambda *_: images)
    given = ["generate", "--model", "models:/m/1", "--count", "10", "--out", str(tmp_path / "samples")]
    assert CliRunner().invoke(app, given).exit_code == 0
    assert len(list((tmp_path / "samples").iterdir())) == 10, "a folder of images holds nothing else"
    sheet = picture.decode((tmp_path / "samples_seed0.png").read_bytes())
    assert sheet.shape == (3 * 6 - 2, 4 * 6 - 2)
    assert [int(sheet[6 * (i // 4), 6 * (i % 4)]) for i in range(10)] == list(range(10))
