"""Training starts again only where it can give something new. On a real MLflow database."""

import pytest
from mlflow import MlflowClient

from mammogan import config, tracking
from mammogan.registry import retraining
from mammogan.registry.versions import PARENT_RUN
from mammogan.tracking.environment import GIT_DIRTY, IMAGE

MODEL = "mammogan"


@pytest.fixture
def uri(tmp_path, monkeypatch):
    found = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found)
    return found


@pytest.fixture
def open_run(uri):
    """A pipeline run of these settings on this data, by this image."""

    def open_run(key, data="d1" * 32, image="mammogan@sha256:" + "c" * 64, **settings):
        chosen = config.override(config.PRESETS["demo"], {"train.epochs": 12, **settings})
        run_id = tracking.open_parent("mammogan", key, chosen, {})
        tracking.set_tags(run_id, {tracking.DATA_DIGEST: data, IMAGE: image, GIT_DIRTY: "false"})
        return run_id

    return open_run


@pytest.fixture
def champion(uri, open_run, tmp_path):
    """The first run's model, registered with an alias."""

    def make(key, alias="champion", **of):
        run_id = open_run(key, **of)
        client = MlflowClient(uri)
        if not client.search_registered_models():
            client.create_registered_model(MODEL)
        version = client.create_model_version(MODEL, str(tmp_path), tags={PARENT_RUN: run_id})
        client.set_registered_model_alias(MODEL, alias, version.version)
        return run_id

    return make


def test_the_first_run_trains(open_run):
    assert retraining.decide(open_run("1"), MODEL) == retraining.Retraining(True, "model mammogan has no champion yet")


def test_the_same_data_code_and_settings_stop_with_the_reason(champion, open_run):
    champion("1")
    found = retraining.decide(open_run("2"), MODEL)
    assert not found.needed
    assert found.why == "nothing to train: data, code and settings are those of mammogan@champion"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "e2" * 32}, "data d1d1d1d1d1d1 -> e2e2e2e2e2e2"),
        ({"image": "mammogan@sha256:" + "f" * 64}, f"code sha256:{'c' * 64} -> sha256:{'f' * 64}"),
        ({"train.epochs": 13}, "train.epochs 12 -> 13"),
    ],
)
def test_one_change_in_data_code_or_settings_trains_again(champion, open_run, change, said):
    champion("1")
    found = retraining.decide(open_run("2", **change), MODEL)
    assert found == retraining.Retraining(True, f"changed since mammogan@champion: {said}")


def test_what_was_tried_and_refused_is_not_tried_every_week(champion, open_run):
    champion("1")
    run_id = champion("2", alias="challenger", data="e2" * 32)
    assert retraining.decide(open_run("begun"), MODEL).why.startswith("nothing")
    assert retraining.decide(open_run("unfinished", data="e2" * 32), MODEL).needed  # never refused: its run died
    tracking.close(run_id, "FINISHED")
    assert not retraining.decide(open_run("3", data="e2" * 32), MODEL).needed
    assert retraining.decide(open_run("4", data="f3" * 32), MODEL).needed


def test_force_trains_in_any_case(champion, open_run):
    champion("1")
    assert retraining.decide(open_run("2"), MODEL, force=True).needed


def test_a_dirty_checkout_without_an_image_counts_as_changed(uri, champion, open_run):
    champion("1", image="")
    run_id = open_run("2", image="")
    tracking.set_tags(run_id, {GIT_DIRTY: "true"})
    assert "code has changes that are in no commit" in retraining.decide(run_id, MODEL).why
