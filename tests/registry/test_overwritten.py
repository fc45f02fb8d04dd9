"""Files of registered models that somebody has overwritten, through a server that proxies artifacts: nothing runs."""

import http.client
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import torch
import yaml
from filled_dataset import write_dataset
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow_servers import mlflow_server
from sample_run import snapshot_evaluation, training, write_result
from warm_interpreter import warm_python

from mammogan import codec, registry, results, storage, tracking
from mammogan.config import PRESETS, Trial, override
from mammogan.models.generator import Generator, save_snapshot
from mammogan.registry import notes, reevaluation
from mammogan.registry.contents import FILES, SNAPSHOT, fetch
from mammogan.registry.promotion import METADATA
from mammogan.registry.versions import PARENT_RUN
from mammogan.results import Outcome
from mammogan.selection.ranking import select
from mammogan.steps import StepContext, audit, synthesise
from mammogan.tracking import stored
from mammogan.tracking.server import CRITIC_SHA256

MODEL = "attacked"
CONFIG = override(PRESETS["demo"], {"data.size": 28, "select.model_name": MODEL})
TRIAL = Trial(3.0, 0)
EVIL = "import pathlib\npathlib.Path({mark!r}).write_text('run')\ndef _load_pyfunc(path): return None\n"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Registered:
    """A model with a champion (1) and a challenger (2), and where its files lie for a stranger."""

    server: str
    model: str
    artifacts: tuple[str, str]
    """Paths of both versions' folders at the proxy."""

    def address(self, version):
        return f"models:/{self.model}/{version}"

    def put(self, version, name, content):
        """Overwrite, or add, a file as anybody can who reaches the server: without a sign-in."""
        self.put_at(f"{self.artifacts[version - 1]}/{name}", content)

    def put_at(self, path, content):
        connection = http.client.HTTPConnection(self.server.removeprefix("http://"), timeout=30)
        connection.request("PUT", f"{PROXY}/{path}", content)
        assert connection.getresponse().status == 200
        connection.close()


@pytest.fixture(scope="module")
def attacked(empty_database, little_code, tmp_path_factory):
    """Both versions on a server of their own, and a copy of the artifacts as they were registered."""
    folder = tmp_path_factory.mktemp("server")
    database = f"sqlite:///{shutil.copyfile(empty_database, folder / 'mlflow.db')}"
    with (
        mlflow_server(database, str(folder / "artifacts"), folder / "log") as server,
        pytest.MonkeyPatch.context() as on,
    ):
        on.setenv("MLFLOW_TRACKING_URI", server.uri)
        on.setenv("MAMMOGAN_SPOOL", str(folder / "spool"))
        tracking.ensure_experiment("attacked")
        paths = (register(folder, 0, 0.3), register(folder, 1, 0.2))
        assert registry.promote(MODEL, "1", "the first").moved
        shutil.copytree(folder / "artifacts", folder / "before")
        yield folder, Registered(server.uri, MODEL, paths)


def register(folder, number, kid):
    """Register a generator with a critic's sha256; where its files lie at the proxy."""
    parent = tracking.open_parent("attacked", f"attacked-{number}", CONFIG, {})
    with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
        log.tags({CRITIC_SHA256: "c" * 64})
        log.finish(training(TRIAL))
    snapshot = generator(folder / "winner", number)
    results.write(select([snapshot_evaluation(TRIAL, 1, kid)], CONFIG.select), folder / "decision.json")
    version = registry.register(snapshot, folder / "decision.json", write_result(folder, snapshot), parent, CONFIG)
    notes.write_outcome(MODEL, version, Outcome.PASSED, "passed")
    source = tracking.client().get_model_version(MODEL, version).source.removeprefix("models:/")
    return tracking.client().get_logged_model(source).artifact_location.removeprefix("mlflow-artifacts:/")


@pytest.fixture
def registered(attacked):
    """The model; afterwards its files are again what they were."""
    folder, model = attacked
    yield model
    shutil.rmtree(folder / "artifacts")
    shutil.copytree(folder / "before", folder / "artifacts")


def generator(path, seed):
    torch.manual_seed(seed)
    save_snapshot(Generator(28, 4, 8), 1, path)
    return path


def alter_loader(model, version, mark):
    text = (fetch(model.model, str(version), mark.parent / "before").folder / "MLmodel").read_text()
    model.put(version, "MLmodel", text.replace("loader_module: mammogan.serving", "loader_module: evil"))
    model.put(version, "code/evil.py", EVIL.format(mark=str(mark)))


def alter_code(model, version, mark):
    model.put(version, "code/mammogan/serving.py", EVIL.format(mark=str(mark)))


def alter_snapshot(model, version, mark):
    model.put(version, "data/winner", generator(mark.parent / "other", 99).read_bytes())


def alter_figures(model, version, mark):
    text = (fetch(model.model, str(version), mark.parent / "before").folder / "MLmodel").read_text()
    document = yaml.safe_load(text)
    figures = document["metadata"][METADATA]
    assert '"value": 0.2' in figures
    document["metadata"][METADATA] = figures.replace('"value": 0.2', '"value": 0.0001')
    model.put(version, "MLmodel", yaml.safe_dump(document))


def add_snapshot(model, version, mark):
    model.put(version, "data/a", generator(mark.parent / "other", 99).read_bytes())


ALTERATIONS = (alter_loader, alter_code, alter_snapshot, alter_figures, add_snapshot)


@pytest.mark.parametrize("alter", ALTERATIONS)
def test_overwritten_files_are_refused_and_nothing_of_them_runs(registered, tmp_path, alter):
    """Every call that reads a registered model; the commands are these calls and a line."""
    mark = tmp_path / "mark"
    alter(registered, 2, mark)
    refused = rf"model {registered.model} version 2: its files are not those that were registered"
    for read in (
        lambda: registry.generate(registered.address(2), 1, 0),
        lambda: registry.snapshot_of(f"models:/{registered.model}@challenger", tmp_path / "copy"),
        lambda: registry.promote(registered.model, "2", "x"),
        lambda: registry.promote(registered.model, "2", "x", force=True),
    ):
        with pytest.raises(ValueError, match=refused):
            read()
    assert not mark.exists()
    assert tracking.client().get_registered_model(registered.model).aliases["champion"] in (1, "1")


@pytest.mark.slow
def test_every_command_refuses_in_one_line(registered, tmp_path):
    mark, address = tmp_path / "mark", registered.address(2)
    real = write_dataset(tmp_path / "real", {"train": (6, 4), "test": (3, 2)})
    alter_loader(registered, 2, mark)
    commands = {
        "generate": ["--model", address, "--out", "g", "--count", "1"],
        "evaluate": ["--real", str(real), "--fake", address, "--count", "4", "--extractor", "random"],
        "synthesise": ["--model", address, "--out", "s", "--count", "2"],
        "export": ["--model", address, "--out", "e"],
        "promote": ["2", "--model", registered.model, "--why", "x", "--force"],
    }
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_TRACKING_URI": registered.server}
    for command, arguments in commands.items():
        done = subprocess.run(
            [warm_python(), "-m", "mammogan", command, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2, (command, done.stderr)
        assert [line for line in lines if "its files are not those that were registered" in line] == lines, command
        assert len(lines) == 1, lines
    assert not mark.exists()
    assert not [name for name in ("g", "s", "e") if (tmp_path / name).exists()]


def test_what_the_graph_hands_on_is_compared_with_the_version(registered, tmp_path):
    other = generator(tmp_path / "other", 99)
    with pytest.raises(ValueError, match=r"the sha256 of the snapshot .*other is"):
        registry.require_snapshot(other, registered.model, "2")
    with pytest.raises(ValueError, match=r"the sha256 of the critic .*other is"):
        registry.require_critic(other, registered.model, "2")
    registry.require_snapshot(generator(tmp_path / "winner", 1), registered.model, "2")
    context = StepContext(CONFIG, tracking.find_parent("attacked-1"))
    with pytest.raises(ValueError, match="its files are not those"):
        synthesise.run(context, "2", tmp_path, minority_of(tmp_path), other, tmp_path / "filled")
    with pytest.raises(ValueError, match="its files are not those"):
        audit.run(context, "2", tmp_path, other, tmp_path / "audit")


def minority_of(folder):
    from mammogan.data.minority import filter_minority

    filter_minority(write_dataset(folder / "whole", {"train": (6, 4), "test": (3, 2)}), "auto", folder / "rare")
    return folder / "rare"


def test_a_version_carries_what_it_is_compared_with(registered, tmp_path):
    tags = tracking.client().get_model_version(registered.model, "2").tags
    contents = fetch(registered.model, "2", tmp_path / "copy")
    assert registry.generate(registered.address(2), 1, 0).shape == (1, 28, 28)
    assert tags[SNAPSHOT] == storage.sha256_of(contents.snapshot)
    assert (len(tags[FILES]), contents.whole, tags[CRITIC_SHA256]) == (64, True, "c" * 64)


def test_an_overwritten_champion_gives_way_by_force_alone(registered, tmp_path):
    alter_loader(registered, 1, tmp_path / "mark")
    name = registered.model
    with pytest.raises(
        ValueError, match=r"champion model .* version 1: its files are not those .*; --force replaces it"
    ):
        registry.promote(name, "2", "x")
    dataset = write_dataset(tmp_path / "data", {"train": (6, 4), "test": (3, 5)})
    with pytest.raises(ValueError, match="version 1: its files are not those"):
        registry.contests("2", dataset, CONFIG)
    assert registry.promote(name, "2", "it was altered", force=True).moved
    with pytest.raises(ValueError, match="version 1: its files are not those"):
        registry.rollback(name, "back")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["config.json", "manifest.csv"])
def test_settings_and_manifest_that_were_written_over_move_no_champion(registered, tmp_path, name):
    """By them a promotion by hand measures, and knows what a version learnt from; an extractor in them could run."""
    client = tracking.client()
    champion = client.get_model_version_by_alias(registered.model, "champion").version
    challenger = "1" if str(champion) == "2" else "2"
    dataset = write_dataset(tmp_path / "data", {"train": (6, 4), "test": (12, 12)})
    parent = client.get_model_version(registered.model, challenger).tags[PARENT_RUN]
    tracking.log_manifest(parent, dataset / "manifest.csv")
    run = client.get_run(parent)
    place = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    evil = override(CONFIG, {"evaluate.extractor": "random", "evaluate.fakes": 99})
    content = json.dumps(codec.encode(evil)) if name == "config.json" else "image_id\n000\n"
    before = stored.read(client, run, name)
    registered.put_at(f"{place}/{name}", content.encode())
    try:
        with pytest.raises(
            ValueError, match=rf"{name} is not the one that the run recorded .*somebody has written over"
        ):
            reevaluation.contests_of_run(registered.model, challenger, dataset)
    finally:
        registered.put_at(f"{place}/{name}", before)
    recorded = run.data.tags[stored.SHA256[name]]
    client.delete_tag(parent, stored.SHA256[name])
    if name == "config.json":
        with pytest.raises(ValueError, match="recorded the sha256 of its settings"):
            reevaluation.contests_of_run(registered.model, challenger, dataset)
    else:
        (contest,) = reevaluation.contests_of_run(registered.model, challenger, dataset)
        assert "nobody knows what it learnt from" in contest.reason
    client.set_tag(parent, stored.SHA256[name], recorded)


def answered(status):
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status}", response=response)


@pytest.mark.parametrize(
    "error",
    [requests.ConnectionError("no route"), answered(503), answered(403), PermissionError(13, "denied"),
     MlflowException("not yours", error_code=PERMISSION_DENIED), OSError(28, "No space left on device")],
)  # fmt: skip
def test_a_champion_that_is_unreachable_is_an_error_and_no_reason_to_refuse(registered, tmp_path, monkeypatch, error):
    """Else the step that promotes would succeed, and say that the champion must be registered again."""
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", raising(error))
    champion = tracking.client().get_model_version_by_alias(registered.model, "champion").version
    challenger = "1" if str(champion) == "2" else "2"
    with pytest.raises(type(error)):
        fetch(registered.model, "1", tmp_path / "model")
    with pytest.raises(type(error)):
        registry.promote(registered.model, challenger, "the next", contests=[])


@pytest.mark.parametrize(
    "error", [answered(404), FileNotFoundError(2, "gone"), OSError("No such file or directory: 'x'"),
              MlflowException("gone", error_code=RESOURCE_DOES_NOT_EXIST)],
)  # fmt: skip
def test_files_that_are_gone_are_said_to_be(registered, tmp_path, monkeypatch, error):
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", raising(error))
    with pytest.raises(ValueError, match=r"its files cannot be fetched \(.*\); register it again"):
        fetch(registered.model, "1", tmp_path / "model")


def raising(error):
    def instead(*_, **__):
        raise error

    return instead
