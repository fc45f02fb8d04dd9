"""The registered model: one version for one winner, loaded by alias, the same images as the snapshot."""

import io
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from unittest.mock import Mock

import mlflow.pyfunc
import mlflow_servers
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from sample_run import snapshot_evaluation, training, write_result
from snapshots import write_snapshot
from typer.testing import CliRunner
from warm_interpreter import warm_python

from mammogan import registry, results, serving, tracking
from mammogan.command_line import app
from mammogan.config import PRESETS, Trial
from mammogan.models.generator import Generator, load_generator, sample
from mammogan.registry.versions import PARENT_RUN
from mammogan.results import Decision, Network, Outcome
from mammogan.selection.ranking import select
from mammogan.steps import presentation
from mammogan.tracking.findings import log_results

CONFIG = PRESETS["demo"]
TRIAL = Trial(3.0, 0)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    return write_snapshot(tmp_path_factory.mktemp("snapshot") / "winner", 56, 32)


@pytest.fixture(scope="module")
def registered(snapshot, database, tmp_path_factory):
    """Parent run, version and decision file of a champion in a database of its own."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database)
        patch.setenv("MAMMOGAN_SPOOL", str(folder / "spool"))
        tracking.ensure_experiment("test", str(folder / "artifacts"))
        parent = tracking.open_parent("test", "key", CONFIG, {})
        with tracking.trial_log(parent, TRIAL, CONFIG, step="train") as log:
            log.finish(training(TRIAL, frozen=Network("random DenseNet121", "0" * 64)))
        decision = folder / "decision.json"
        results.write(select([snapshot_evaluation(TRIAL, 4, 0.2)], CONFIG.select), decision)
        number = registry.register(snapshot, decision, write_result(folder, snapshot), parent, CONFIG)
        registry.promote("mammogan", number, "for the test", force=True)
        yield parent, number, decision


@pytest.fixture(scope="module")
def model(registered):
    tracking.client()
    return mlflow.pyfunc.load_model("models:/mammogan@champion")


def test_registering_again_gives_the_same_version(registered, snapshot):
    parent, number, decision = registered
    again = write_result(decision.parent, snapshot, kid=0.22, looks=2)  # as a run that resumes measures it once more
    assert registry.register(snapshot, decision, again, parent, CONFIG) == number
    client = tracking.client()
    assert len(client.search_model_versions("name = 'mammogan'")) == 1
    version = client.get_model_version_by_alias("mammogan", "champion")
    assert str(version.version) == number
    assert version.run_id == tracking.find_trial(parent, TRIAL)
    tags = version.tags
    assert (tags["lambda"], tags["epoch"], tags["mammogan.test_looks"]) == ("3", "4", "2")
    assert version.description.count("## Result on test images") == 1
    assert "| inception/kid_test | 0.220 (0.200 to 0.240) |" in version.description
    assert "This test set has been looked at 2 times." in version.description
    assert (tags["mammogan.data_digest"], tags["mammogan.frozen"]) == ("d" * 64, "random DenseNet121")


@pytest.mark.parametrize("dies_at", ["log_model_artifacts", "finalize_logged_model", "create_model_version"])
def test_what_a_dead_process_left_unregistered_is_removed(registered, snapshot, monkeypatch, dies_at):
    parent, client = tracking.open_parent("test", dies_at, CONFIG, {}), tracking.client()
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, dies_at, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.register(snapshot, registered[2], registered[2].with_name("result.json"), parent, CONFIG)
    number = registry.register(snapshot, registered[2], registered[2].with_name("result.json"), parent, CONFIG)
    assert client.get_model_version("mammogan", number).tags["mammogan.parent_run"] == parent
    experiment = client.get_run(parent).info.experiment_id
    left = client.search_logged_models([experiment], f"tags.`mammogan.parent_run` = '{parent}'")
    assert [model.status for model in left] == ["READY"]


def test_of_two_that_register_a_run_at_once_the_second_finds_the_firsts_version(registered, snapshot, monkeypatch):
    """As of a step that Kubernetes starts twice; the first is still at sending its model when the second begins."""
    parent, client = tracking.open_parent("test", "at once", CONFIG, {}), tracking.client()
    real, sending, sent = MlflowClient.log_model_artifacts, threading.Event(), threading.Event()

    def send(*arguments):
        if not sending.is_set():
            sending.set()
            sent.wait(30)
        return real(*arguments)

    monkeypatch.setattr(MlflowClient, "log_model_artifacts", send)
    given = (snapshot, registered[2], registered[2].with_name("result.json"), parent, CONFIG)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(registry.register, *given)
        assert sending.wait(30)
        second = pool.submit(registry.register, *given)
        wait([second], timeout=1)
        sent.set()
        assert first.result() == second.result()
    experiment = client.get_run(parent).info.experiment_id
    left = client.search_logged_models([experiment], f"tags.`mammogan.parent_run` = '{parent}'")
    assert [model.status for model in left] == ["READY"]
    assert not [model.name for model in client.search_registered_models() if model.name.endswith(".lock")]


def test_a_model_whose_first_answer_was_lost_is_there_once(registered, snapshot, monkeypatch):
    """The client asks again, and the server has made both."""
    parent, client = tracking.open_parent("test", "lost answer", CONFIG, {}), tracking.client()
    with monkeypatch.context() as patch:
        mlflow_servers.lose_first_answers(patch, "create_logged_model")
        registry.register(snapshot, registered[2], registered[2].with_name("result.json"), parent, CONFIG)
    experiment = client.get_run(parent).info.experiment_id
    left = client.search_logged_models([experiment], f"tags.`mammogan.parent_run` = '{parent}'")
    assert [model.status for model in left] == ["READY"]


def test_a_registration_that_cannot_begin_says_what_is_in_its_way(registered, snapshot, monkeypatch):
    parent, client = tracking.open_parent("test", "waits", CONFIG, {}), tracking.client()
    client.create_registered_model(f"{parent}.lock", {"owner": "another"})
    monkeypatch.setattr(registry.versions, "LOCK_WAIT_S", 0.1)
    with pytest.raises(TimeoutError, match=f"^parent_id='{parent}': another process has been registering"):
        registry.register(snapshot, registered[2], registered[2].with_name("result.json"), parent, CONFIG)
    client.delete_registered_model(f"{parent}.lock")


def test_the_winners_values_are_its_models_and_stay_one_point_of_its_trial(registered):
    client = tracking.client()
    version = client.get_model_version_by_alias("mammogan", "champion")
    experiment, ours = client.get_run(registered[0]).info.experiment_id, f"tags.`{PARENT_RUN}` = '{registered[0]}'"
    (model,) = client.search_logged_models([experiment], ours)
    assert {metric.key: (metric.value, metric.step) for metric in model.metrics} == {
        "inception/kid_train": (0.2, 4),
        "inception/fid_train": (90.0, 4),
        "sample_pairs/lpips_fake_fake": (0.3, 4),
        "result/kid_test_inception": (0.22, 0),
        "result/fid_test_inception": (91.0, 0),
    }
    points = client.get_metric_history(version.run_id, "inception/kid_train")
    assert [(point.step, point.value, point.timestamp) for point in points] == [(4, 0.2, points[0].timestamp)]


def test_the_models_page_tells_what_is_in_production_and_why(registered):
    client = tracking.client()
    text = client.get_registered_model("mammogan").description
    version = client.get_model_version_by_alias("mammogan", "champion")
    assert f"**In production: [version {version.version}](#/models/mammogan/versions/{version.version})**" in text
    assert f"![Samples of epoch 4](get-artifact?path=grids%2Fepoch_0004.png&run_uuid={version.run_id})" in text
    assert "mammogan generate --model models:/mammogan@champion" in text
    assert "| for the test; by force, " in text
    assert version.description.splitlines()[1].startswith("![Samples of epoch 4](get-artifact?")
    for theirs in ("Ask Anna.", ""):
        client.update_registered_model("mammogan", theirs)
        registry.promotion.model_page.write(client, "mammogan", None, registry.promotion.moves("mammogan"))
        assert client.get_registered_model("mammogan").description == theirs
    client.update_registered_model("mammogan", text)


def test_a_move_by_hand_is_in_the_experiments_note(registered):
    parent, number, decision = registered
    tracking.log_decision(parent, results.read(Decision, decision))
    moved = CliRunner().invoke(app, ["promote", number, "--force", "--why", "by hand"])
    assert moved.exit_code == 0, moved.output
    note = tracking.client().get_experiment_by_name("test").tags["mlflow.note.content"]
    shown = f"In production: [version {number}](#/models/mammogan)"
    assert f"{shown}, not for release." in note, "its images were not audited"
    for outcome, every, words in ((Outcome.PASSED, False, ", not for release."), (Outcome.PASSED, True, ".")):
        registry.notes.write_outcome("mammogan", number, outcome, "passed", for_release=every)
        presentation.update(parent)
        assert f"{shown}{words}" in tracking.client().get_experiment_by_name("test").tags["mlflow.note.content"]
    tracking.client().delete_model_version_tag("mammogan", number, registry.promotion.AUDIT_OUTCOME)


def test_results_that_are_logged_again_are_there_once(registered):
    for value in (0.5, 0.5, 0.25):
        log_results(registered[0], {"result/x": value, "result/nan": math.nan, "result/none": None})
    points = tracking.client().get_metric_history(registered[0], "result/x")
    assert [point.value for point in points] == [0.5, 0.25]
    assert {"result/nan", "result/none"}.isdisjoint(tracking.client().get_run(registered[0]).data.metrics)


def test_parent_run_goes_on_after_registering(registered):
    assert tracking.client().get_run(registered[0]).info.status == "RUNNING"


def test_a_decision_that_was_not_accepted_is_refused(registered, snapshot, tmp_path):
    refused = tmp_path / "decision.json"
    results.write(select([], CONFIG.select), refused)
    with pytest.raises(ValueError, match="only an accepted decision"):
        registry.register(snapshot, refused, registered[2].with_name("result.json"), registered[0], CONFIG)


def test_champion_draws_the_snapshots_images(model, snapshot):
    expected = sample(load_generator(snapshot), 5, 7).squeeze(1).numpy()
    table = model.predict(pd.DataFrame({"n": [5], "seed": [7]}))
    assert list(table.columns) == ["seed", "index", "png"]
    pictures = [np.asarray(Image.open(io.BytesIO(png))) for png in table["png"]]
    np.testing.assert_array_equal(pictures, expected)
    np.testing.assert_array_equal(model.predict({"n": [5], "seed": [7]}, params={"format": "array"}), expected)
    before = list(sys.path)
    np.testing.assert_array_equal(registry.generate("models:/mammogan@champion", 5, 7), expected)
    assert sys.path == before  # not the model's copy of this package first, for the processes started next


def test_requests_are_answered_in_order_and_truncation_pulls_to_the_centre(model):
    table = model.predict(pd.DataFrame({"n": [2, 1], "seed": [5, 3], "truncation": [1.0, None]}))
    assert table[["seed", "index"]].to_numpy().tolist() == [[5, 0], [5, 1], [3, 0]]
    images = [registry.generate("models:/mammogan@champion", 16, 0, psi).astype(float) for psi in (1.0, 0.1)]
    assert images[1].std(axis=0).mean() < 0.5 * images[0].std(axis=0).mean()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"n": [0], "seed": [0]}, "n=0"),
        ({"n": [1], "seed": [-1]}, "seed=-1"),
        ({"n": [1], "seed": [2**32]}, "seed=4294967296: give a whole number from 0 to 4294967295"),
        ({"n": [1], "seed": [0], "truncation": [1.5]}, "truncation=1.5"),
    ],
)
def test_a_request_out_of_range_is_refused(model, request_, words):
    with pytest.raises(ValueError, match=words):
        model.predict(request_)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"n": [1], "seed": [1.5]}, "seed=1.5: give a whole number"),
        ({"n": [1.5], "seed": [0]}, "n=1.5: give a whole number"),
        ({"n": [1], "seed": [float("nan")]}, "seed=nan: give a whole number"),
        ({"n": [1], "seed": [True]}, "seed=True: give a whole number"),
        ({"n": [1], "seed": ["1"]}, "seed='1': give a whole number"),
        ({"n": [1], "seed": [2**64]}, "seed=18446744073709551616: give a whole number from 0 to 4294967295"),
        ({"n": [1]}, "seed=None: give a whole number"),
    ],
)
def test_a_cell_that_is_no_whole_number_is_refused_where_no_signature_does(request_, words):
    with pytest.raises(ValueError, match=words):
        serving.GeneratorService(Generator(size=28, latent_dim=8, channels=8)).predict(pd.DataFrame(request_))


def test_an_unknown_format_is_refused(model):
    with pytest.raises(ValueError, match="format='jpeg'"):
        model.predict({"n": [1], "seed": [0]}, params={"format": "jpeg"})


def test_a_model_that_is_not_there_is_a_value_error(registered):
    with pytest.raises(ValueError, match="models:/none@champion"):
        registry.generate("models:/none@champion", 1, 0)


def test_model_loads_away_from_the_checkout(registered, tmp_path):
    """The model carries its own code: no checkout on the path, and no pickle in the folder."""
    client = tracking.client()
    source = client.get_model_version_by_alias("mammogan", "champion").source
    folder = mlflow.artifacts.download_artifacts(source, dst_path=str(tmp_path))
    script = (
        "import sys; sys.path[:] = [p for p in sys.path if p]\n"
        f"import mlflow.pyfunc; model = mlflow.pyfunc.load_model({folder!r})\n"
        "import mammogan; print(mammogan.__file__)\n"
        "print(model.predict({'n': [2], 'seed': [0]}, params={'format': 'array'}).shape)"
    )
    done = subprocess.run([warm_python(), "-P", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, shape = done.stdout.splitlines()[-2:]
    assert where.startswith(str(tmp_path))
    assert shape == "(2, 56, 56)"
    assert not list(tmp_path.rglob("*.pkl"))


def test_service_needs_no_mlflow(snapshot):
    script = (
        "import sys; sys.modules['mlflow'] = None\n"
        f"from mammogan.serving import _load_pyfunc; print(_load_pyfunc({str(snapshot)!r}).images(1, 0).shape)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 56, 56)"
    assert serving.FORMATS == ("png", "array")
