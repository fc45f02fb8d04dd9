"""``mammogan train``: the same trial as the graph's, by the same name in the store."""

import json

import pytest
from trial_process import OVERRIDES
from typer.testing import CliRunner

from mammogan.command_line import app
from mammogan.data import manifest
from mammogan.data.minority import filter_minority, training_set

QUICK = [part for key, value in {**OVERRIDES, "train.epochs": 1}.items() for part in ("--set", f"{key}={value}")]


def invoke(*arguments):
    return CliRunner().invoke(app, ["train", "--preset", "demo", *map(str, arguments)])


def test_it_trains_and_copies_what_is_finished(tmp_path, dataset):
    places = ("--data", dataset, "--out", tmp_path / "out")
    first = invoke(*places, "--lambda", 3, "--seed", 7, *QUICK)
    assert first.exit_code == 0, first.output
    record = json.loads((tmp_path / "out/trial.json").read_text())
    assert (record["trial"], record["status"]) == ("lambda=3,seed=7", "finished")
    assert (tmp_path / "out.store/trials" / record["key"] / "trial.json").is_file()
    again = invoke(*places, "--lambda", 3, "--seed", 7, *QUICK, "--json")
    assert json.loads(again.stdout) == record
    assert "finished by an earlier run" in again.stderr


def test_a_lost_trial_is_status_1_and_a_wrong_value_2(tmp_path, dataset):
    places = ("--data", dataset, "--out", tmp_path / "out")
    lost = invoke(*places, *QUICK, "--set", "model.frozen_weights=/absent.pt")
    assert lost.exit_code == 1
    assert "failed: FileNotFoundError: no file at /absent.pt" in lost.stderr
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
    (whole / "summary.json").write_text("{}")
    return whole, filter_minority(whole, "auto", tmp_path / "rare")


def test_of_two_classes_it_takes_the_one_that_the_graph_takes(both_classes, tmp_path):
    whole, summary = both_classes
    images, patients, digest = training_set(whole, "auto")
    assert digest == summary["data_digest"]
    assert patients == ["P0", "P1", "P2"]
    assert images.equal(manifest.load_images(tmp_path / "rare", split="train"))
    alone = training_set(tmp_path / "rare", "auto")
    assert (alone[1], alone[2]) == (patients, digest)
    assert len(training_set(whole, "malignant")[0]) == 10
