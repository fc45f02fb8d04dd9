"""Training starts again only where it can give something new. On a real MLflow database."""

import shutil

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from mammogan import config, tracking
from mammogan.graph import Step
from mammogan.ledger import State, Task
from mammogan.registry import retraining
from mammogan.registry.versions import PARENT_RUN
from mammogan.results import Decision
from mammogan.tracking import ledger
from mammogan.tracking.environment import GIT_DIRTY, GPU_IMAGE, IMAGE

MODEL = "mammogan"


@pytest.fixture
def uri(empty_database, tmp_path, monkeypatch):
    address = f"sqlite:///{shutil.copyfile(empty_database, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


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
    verdict = retraining.decide(open_run("2"), MODEL)
    assert not verdict.needed
    assert verdict.why == "nothing to train: data, code and settings are those of mammogan@champion"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "e2" * 32}, "data d1d1d1d1d1d1 -> e2e2e2e2e2e2"),
        ({"image": "mammogan@sha256:" + "f" * 64}, f"code sha256:{'c' * 64} -> sha256:{'f' * 64}"),
        ({"train.epochs": 13}, "train.epochs 12 -> 13"),
    ],
)
def test_one_change_in_data_code_or_settings_trains_again(champion, open_run, change, reason):
    champion("1")
    verdict = retraining.decide(open_run("2", **change), MODEL)
    assert verdict == retraining.Retraining(True, f"changed since mammogan@champion: {reason}")


def closed(run_id, *, chosen=True, status="FINISHED"):
    """End the run, as one that trained, or as one that had nothing to train."""
    for name, goes_on in ((Step.FILTER_MINORITY, chosen), *([(Step.SELECT, False)] if chosen else [])):
        entry = ledger.begun(Task(name))
        ledger.write(run_id, ledger.ended(entry, State.DONE, goes_on=goes_on))
    tracking.close(run_id, status)


OTHER = {"data": "e2" * 32}


def test_what_was_tried_and_refused_is_not_tried_every_week(champion, open_run):
    champion("1")
    run_id = champion("2", alias="challenger", **OTHER)
    assert retraining.decide(open_run("begun"), MODEL).why.startswith("nothing")
    assert retraining.decide(open_run("unfinished", **OTHER), MODEL).needed  # never refused: its run died
    closed(run_id)
    assert not retraining.decide(open_run("3", **OTHER), MODEL).needed
    assert retraining.decide(open_run("4", data="f3" * 32), MODEL).needed


def test_a_run_whose_selection_registered_nothing_was_tried_too(open_run):
    tried = open_run("1")
    tracking.log_decision(tried, Decision("no candidate: nothing is registered"))
    closed(tried)
    verdict = retraining.decide(open_run("2"), MODEL)
    assert not verdict.needed
    assert verdict.why.endswith("has tried these data, code and settings: no candidate: nothing is registered")
    assert retraining.decide(open_run("3", **OTHER), MODEL).needed
    assert retraining.decide(open_run("4", **{"train.epochs": 13}), MODEL).needed


def test_a_refusal_is_remembered_after_later_challengers_and_in_a_renamed_experiment(uri, champion, open_run):
    champion("1")
    closed(champion("2", alias="challenger", **OTHER))
    closed(champion("3", alias="challenger", data="f3" * 32))
    client = MlflowClient(uri)
    client.rename_experiment(client.get_experiment_by_name("mammogan").experiment_id, "before")
    assert not retraining.decide(open_run("4", **OTHER), MODEL).needed


@pytest.mark.parametrize("how", [{"status": "FAILED"}, {"status": "KILLED"}, {"chosen": False}])
def test_a_run_without_a_verdict_of_its_own_has_tried_nothing(champion, open_run, how):
    champion("1")
    closed(open_run("2", **OTHER), **how)
    assert retraining.decide(open_run("3", **OTHER), MODEL).needed


def test_settings_too_long_for_a_parameter_still_differ(champion, open_run):
    label = ",".join(str(number) for number in range(1, 3000))
    champion("1", seeds=label + ",3001")
    assert retraining.decide(open_run("2", seeds=label + ",3002"), MODEL).needed


def test_a_new_gpu_image_is_new_code(champion, open_run):
    tracking.set_tags(champion("1"), {GPU_IMAGE: "gpu@sha256:" + "a" * 64})
    run_id = open_run("2")
    tracking.set_tags(run_id, {GPU_IMAGE: "gpu@sha256:" + "b" * 64})
    assert f"and sha256:{'b' * 64}" in retraining.decide(run_id, MODEL).why


def test_another_majority_class_is_another_data_set(champion, open_run):
    """The filled set, its audit and what it is good for rest on all images, not on the rare class alone."""
    tracking.set_tags(champion("1"), {tracking.WHOLE_DIGEST: "a" * 64})
    run_id = open_run("2")
    tracking.set_tags(run_id, {tracking.WHOLE_DIGEST: "b" * 64})
    verdict = retraining.decide(run_id, MODEL)
    assert verdict == retraining.Retraining(
        True, "changed since mammogan@champion: data set aaaaaaaaaaaa -> bbbbbbbbbbbb"
    )


def test_a_registry_that_refuses_is_not_one_without_a_champion(champion, open_run, monkeypatch):
    champion("1")

    def refuse(*_):
        raise RestException({"error_code": "PERMISSION_DENIED", "message": "no"})

    monkeypatch.setattr(MlflowClient, "get_registered_model", refuse)
    with pytest.raises(RestException):
        retraining.decide(open_run("2"), MODEL)


def test_a_record_that_another_version_wrote_tries_nothing(champion, open_run):
    champion("1")
    other = open_run("2", **OTHER)
    tracking.set_tags(other, {"mammogan.step.calibrate": "{}"})
    closed(other)
    assert retraining.decide(open_run("3", **OTHER), MODEL).needed


def test_force_trains_in_any_case(champion, open_run):
    champion("1")
    assert retraining.decide(open_run("2"), MODEL, force=True).needed


def test_a_dirty_checkout_without_an_image_counts_as_changed(uri, champion, open_run):
    champion("1", image="")
    run_id = open_run("2", image="")
    tracking.set_tags(run_id, {GIT_DIRTY: "true"})
    assert "code has changes that are in no commit" in retraining.decide(run_id, MODEL).why


def test_what_a_dirty_checkout_tried_is_not_what_its_commit_would_give(uri, champion, open_run):
    tracking.set_tags(champion("1", image=""), {GIT_DIRTY: "true"})
    assert retraining.decide(open_run("2", image=""), MODEL).needed
