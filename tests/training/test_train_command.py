"""``mammogan train``: the same trial as the graph's, by the same name in the store."""

import json

import pytest
from filled_dataset import write_summary
from trial_process import OVERRIDES
from typer.testing import CliRunner

from mammogan import codec, lock, results
from mammogan.command_line import app
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.minority import filter_minority, training_set
from mammogan.results import TrialResult, TrialStatus

QUICK = [part for key, value in {**OVERRIDES, "train.epochs": 1}.items() for part in ("--set", f"{key}={value}")]


def invoke(*arguments):
    return CliRunner().invoke(app, ["train", "--preset", "demo", *map(str, arguments)])


def test_it_trains_and_copies_what_is_finished(tmp_path, dataset):
    places = ("--data", dataset, "--out", tmp_path / "out")
    first = invoke(*places, "--lambda", 3, "--seed", 7, *QUICK)
    assert first.exit_code == 0, first.output
    trained = results.read(TrialResult, tmp_path / "out/trial.json")
    assert (trained.trial.name, trained.status) == ("lambda=3,seed=7", TrialStatus.FINISHED)
    assert (tmp_path / "out.store/trials" / trained.key / "trial.json").is_file()
    again = invoke(*places, "--lambda", 3, "--seed", 7, *QUICK, "--json")
    assert codec.decode(TrialResult, json.loads(again.stdout)) == trained
    assert "finished by an earlier run" in again.stderr


def test_a_second_process_is_refused_while_the_first_trains_there(tmp_path, dataset):
    out = tmp_path / "out"
    out.mkdir()
    with lock.exclusive(out / lock.NAME, ""):
        second = invoke("--data", dataset, "--out", out, *QUICK)
    assert second.exit_code == 1
    assert f"--out={out}: another process is writing it; wait for it or give another --out" in second.stderr
    assert not list(out.iterdir())
    assert invoke("--data", dataset, "--out", out, *QUICK).exit_code == 0
    assert not (out / lock.NAME).exists()


def test_what_a_record_says_of_its_device_is_text(tmp_path, dataset):
    places = ("--data", dataset, "--out", tmp_path / "out", *QUICK)
    assert invoke(*places).exit_code == 0
    (record,) = (tmp_path / "out.store").rglob("trial.json")
    device = "[bold]H100[/bold] [link=http://x]y[/link]\x1b[2J\n"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"device": device}))
    again = invoke(*places)
    assert "on [bold]H100[/bold] [link=http://x]y[/link]\\x1b[2J\\n" in again.stdout
    assert "\x1b" not in again.output


def test_a_failed_trial_is_status_1_and_a_wrong_value_2(tmp_path, dataset):
    places = ("--data", dataset, "--out", tmp_path / "out")
    failed = invoke(*places, *QUICK, "--set", "model.frozen_weights=/absent.pt")
    assert failed.exit_code == 1
    assert "failed: FileNotFoundError: no file at /absent.pt" in failed.stderr
    wrong = invoke(*places, *QUICK, "--set", "data.size=56")
    assert wrong.exit_code == 2
    assert "as data.size=56 says" in wrong.stderr


@pytest.fixture
def both_classes(tmp_path, dataset):
    """The data set with three of its images turned benign, and what the graph makes of it."""
    whole = tmp_path / "whole"
    (whole / "images").mkdir(parents=True)
    frame = manifest.read(dataset)
    for file in frame["file"]:
        (whole / file).write_bytes((dataset / file).read_bytes())
    frame.loc[:2, "label"] = 0
    manifest.write(frame, whole)
    write_summary(frame, whole)
    return whole, filter_minority(whole, "auto", tmp_path / "rare")


def test_who_is_elsewhere_too_watches_no_trial(both_classes, tmp_path):
    """Of four validation images of the class one's patient is in train; from either data set."""
    whole, _ = both_classes
    frame = manifest.read(whole)
    rare = frame.index[frame["label"] == 0].tolist()
    assert len(rare) == 3
    others = frame.index[frame["label"] == 1].tolist()[:7]
    frame.loc[others, "label"] = 0
    frame.loc[rare + others, "split"] = [*["train"] * 5, "test", *["validation"] * 4]
    frame.loc[others[3], "patient_id"] = frame.loc[rare[0], "patient_id"]
    manifest.write(frame, whole)
    write_summary(frame, whole)
    filter_minority(whole, "benign", tmp_path / "rare")
    for folder in (whole, tmp_path / "rare"):
        learnt = training_set(folder, "benign")
        assert (len(learnt.images), len(learnt.validation)) == (5, 3)
        assert learnt.validation_patients == frame.loc[others[4:], "patient_id"].tolist()
        assert not {*learnt.validation_patients} & {*learnt.patients}


def test_of_two_classes_it_takes_the_one_that_the_graph_takes(both_classes, tmp_path):
    whole, summary = both_classes
    learnt = training_set(whole, "auto")
    assert learnt.data_digest == summary.data_digest
    assert learnt.patients == ["P0", "P1", "P2"]
    assert learnt.images.equal(Dataset.read(tmp_path / "rare").train.images())
    alone = training_set(tmp_path / "rare", "auto")
    assert (alone.patients, alone.data_digest) == (learnt.patients, learnt.data_digest)
    assert len(training_set(whole, "malignant").images) == 10
