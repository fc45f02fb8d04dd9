import json

import pytest
from typer.testing import CliRunner

from mammogan.commands.data import app, data_config


@pytest.fixture
def run():
    def invoke(*arguments):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        return result

    return invoke


def test_plan_prints_one_json_object(run, shared):
    result = run("plan", "--labels", str(shared / "data/cbis_ddsm/csv"), "--subset", "calc-train", "--json")
    found = json.loads(result.stdout)
    assert (found["images"], found["benign"], found["malignant"], found["patients"]) == (1227, 718, 509, 602)
    image, patient = found["splits"]["image"], found["splits"]["patient"]
    assert [image["train"][k] for k in ("images", "benign", "malignant")] == [981, 574, 407]
    assert [image["test"][k] for k in ("images", "benign", "malignant")] == [246, 144, 102]
    assert image["leak"]["patients"] > 0
    assert image["leak"]["test_images"] / 246 > 0.75
    assert set(patient["leak"].values()) == {0}
    assert patient["validation"]["images"] == image["validation"]["images"] == 0


def test_plan_counts_validation_patients_but_not_by_image(run, shared):
    result = run(
        "plan", "--labels", str(shared / "data/cbis_ddsm/csv"), "--subset", "calc-train", "--json", "--preset", "modern"
    )
    image, patient = (json.loads(result.stdout)["splits"][unit] for unit in ("image", "patient"))
    assert (image["train"]["images"], image["validation"]["images"]) == (981, 0)
    assert sum(patient[role]["images"] for role in ("train", "validation", "test")) == 1227
    assert 0.1 < patient["validation"]["patients"] / 602 < 0.2


def test_plan_in_words(run, shared):
    text = run("plan", "--labels", str(shared / "data/cbis_ddsm/csv"), "--subset", "mass-test+mass-train").stdout
    assert "1592 images" in text
    assert "split by patient: train" in text


@pytest.fixture
def with_index(shared, tmp_path):
    """A labels folder with the four CSVs and the IDC index."""
    for path in [*(shared / "data/cbis_ddsm/csv").glob("*.csv"), shared / "data/idc/cbis_ddsm_series.csv"]:
        (tmp_path / path.name).symlink_to(path)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("subset", "images", "gigabytes"),
    [("calc-train", 1227, 40.07), ("calc-test", 284, 8.94), ("mass-train", 1231, 41.42), ("mass-test", 361, 12.2)],
)
def test_plan_locates_every_image_in_idc(run, with_index, subset, images, gigabytes):
    result = run("plan", "--labels", with_index, "--subset", subset, "--rate", "100", "--json")
    reading = json.loads(result.stdout)["reading"]
    assert (reading["located"], reading["gigabytes"]) == (images, gigabytes)
    assert reading["seconds"] == pytest.approx(gigabytes * 10, abs=1)


def test_plan_locates_all_3032_and_measures_a_rate(run, with_index):
    subset = "calc-train+calc-test+mass-train+mass-test"
    reading = json.loads(run("plan", "--labels", with_index, "--subset", subset, "--json").stdout)["reading"]
    assert reading["located"] == 3032
    assert 10 < reading["rate_mb_s"] < 100_000
    assert "3032 images located in IDC, 100.15 GB" in run("plan", "--labels", with_index, "--subset", subset).stdout


def test_ingest_prints_its_summary(run, phantom, tmp_path):
    settings = ("--set", "data.size=28", "--set", "data.validation_fraction=0")  # of the 8 patients here
    arguments = ("--source", str(phantom), "--preset", "demo", *settings, "--out", str(tmp_path / "set"))
    summary = json.loads(run("ingest", *arguments, "--json").stdout)
    assert {"format": 1, **summary} == json.loads((tmp_path / "set/summary.json").read_text())
    assert summary["settings"]["size"] == 28
    assert "quarantine.csv" in run("ingest", *arguments).stdout


def test_settings_are_checked():
    made = data_config("demo", "calc-test", "crop", ["data.split=image", "data.validation_fraction=0"])
    assert (made.subset, made.images, made.split) == ("calc-test", "crop", "image")
    with pytest.raises(ValueError, match="write it as KEY=VALUE"):
        data_config("demo", "", "", ["data.split"])
    with pytest.raises(ValueError, match=r"did you mean data\.split"):
        data_config("demo", "", "", ["data.spilt=image"])
