"""``mammogan config``: every setting as ``--set`` takes it, what differs between presets, and the sentences."""

import dataclasses
import json
import shlex

import pytest
from typer.testing import CliRunner

from mammogan.command_line import app
from mammogan.config import PRESETS, Config, override


def listed(*arguments):
    result = CliRunner().invoke(app, ["config", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if not line.startswith(" ")]


def as_json(*arguments):
    result = CliRunner().invoke(app, ["config", "--json", *arguments], catch_exceptions=False)
    return json.loads(result.stdout)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_list_as_options_makes_the_preset_again(preset):
    lines = listed("--preset", preset)
    words = [shlex.split(line) for line in lines]
    assert all(len(parts) == 1 for parts in words)
    settings = dict(parts[0].split("=", 1) for parts in words)
    assert override(dataclasses.replace(Config(), preset=preset), settings) == PRESETS[preset]
    assert settings.keys() == PRESETS[preset].flat().keys() - {"preset"}


def test_values_are_written_as_the_option_reads_them():
    lines = listed("--preset", "demo", "--set", "lambdas=0.5,2", "--set", "data.subset=mass-train+mass-test")
    assert {"lambdas=0.5,2.0", "train.flip=true", "train.learning_rate=0.0005", "evaluate.lpips_weights="} < set(lines)
    assert "data.subset=mass-train+mass-test" in lines
    assert "'select.model_name=two words'" in listed("--set", "select.model_name=two words")


def test_the_sentence_stands_below_each():
    result = CliRunner().invoke(app, ["config"], env={"COLUMNS": "200"})
    lines = result.stdout.splitlines()
    assert lines[lines.index("train.epochs=1000") + 1] == "    Passes over the minority class of the train split."


def test_the_difference_names_both_values():
    assert listed("--preset", "demo", "--diff", "demo") == []
    lines = listed("--preset", "modern", "--diff", "paper")
    assert "seeds=0,1,2  # paper: 0" in lines
    assert "train.learning_rate=0.0005  # paper: 0.0001" in lines
    modern, paper = PRESETS["modern"].flat(), PRESETS["paper"].flat()
    assert len(lines) == sum(modern[name] != paper[name] for name in modern if name != "preset") > 10
    assert listed("--preset", "paper", "--set", "train.epochs=3", "--diff", "paper") == [
        "train.epochs=3  # paper: 1000"
    ]


def test_json_has_values_of_their_types_and_a_sentence_for_each_setting():
    content = as_json("--preset", "demo")
    settings = {item["name"]: item for item in content["settings"]}
    assert (content["preset"], content["diff"]) == ("demo", None)
    assert {name: item["value"] for name, item in settings.items()} | {"preset": "demo"} == PRESETS["demo"].flat()
    assert all(item["description"].endswith(".") and item["other"] is None for item in settings.values())
    assert settings["data.split"]["description"] == (
        "Unit of the train/test split; 'image' is the paper's and lets a patient be on both sides, 'official' takes "
        "CBIS-DDSM's own test sets as test."
    )


def test_json_of_a_difference():
    (item,) = as_json("--preset", "paper", "--set", "train.flip=no", "--diff", "paper")["settings"]
    assert (item["name"], item["value"], item["other"]) == ("train.flip", False, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--diff", "papr"], "error: --diff='papr': choose one of demo, paper, modern"),
        (["--preset", "papr"], "error: preset='papr': choose one of demo, paper, modern"),
        (["--set", "data.size=30"], "error: data.size=30: use 7 * 2^k: 28, 56, 112, 224, 448, 896"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    result = CliRunner().invoke(app, ["config", *arguments])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{message} (traceback in ")
    assert result.stdout == ""


def test_no_name_goes_on_in_the_next_line():
    """Such as the subset ``calc-test``."""
    for columns in range(60, 121, 3):
        lines = CliRunner().invoke(app, ["config"], env={"COLUMNS": str(columns)}).stdout.splitlines()
        assert [line for line in lines if line[-2:-1].isalnum() and line.endswith("-")] == []
        assert max(len(line) for line in lines if line.startswith(" ")) <= columns
