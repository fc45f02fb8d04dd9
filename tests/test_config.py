"""Presets load, overrides are typed and checked, and the configuration survives its way through JSON."""

import dataclasses
import datetime
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammogan import config


@pytest.mark.parametrize("name", config.PRESETS)
def test_presets_load_and_carry_their_name(name):
    resolved = config.resolve(name)
    assert resolved == config.PRESETS[name]
    assert resolved.preset == name


def test_paper_preset_is_the_paper():
    paper = config.PRESETS["paper"]
    assert (paper.data.subset, paper.data.size, paper.data.split) == ("calc-train", 224, "image")
    assert (paper.model.latent_dim, paper.model.head) == (100, "linear")
    assert (paper.train.epochs, paper.train.n_critic, paper.train.snapshot_every) == (1000, 5, 100)
    assert paper.lambdas == (0.5, 3.0, 5.0)
    assert config.resolve("paper", "model.head=sigmoid").model.head == "sigmoid"


def test_modern_preset_augments_both_sides_or_none_and_keeps_the_papers_lambdas():
    modern = config.PRESETS["modern"]
    assert (modern.train.rotation, modern.train.crop, modern.train.noise, modern.train.contrast) == (0, 0, 0, 0)
    assert (
        min(modern.train.diff_shift, modern.train.diff_cutout, modern.train.diff_contrast, modern.train.ema_decay) > 0
    )
    assert (modern.model.readout, modern.model.upsampling) == ("projected", "interpolated")
    assert modern.lambdas == config.PRESETS["paper"].lambdas


def test_validation_is_none_in_paper_and_stops_modern():
    shares = {name: preset.data.validation_fraction for name, preset in config.PRESETS.items()}
    assert shares == {"paper": 0.0, "modern": 0.15, "demo": 0.15}
    assert (config.PRESETS["modern"].train.patience, config.PRESETS["paper"].train.patience) == (4, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data.validation_fraction": -0.1}, "=-0.1: give a share from 0 to below 0.8"),
        ({"data.validation_fraction": "nan"}, "=nan: give a share from 0 to below 0.8"),
        ({"data.validation_fraction": 0.7, "data.test_fraction": 0.3}, "=0.7: give a share from 0 to below 0.7"),
        ({"data.split": "image"}, "=0.15: data.split=image has no validation, whose patients would be in train too"),
    ],
)
def test_a_validation_that_leaves_none_to_train_on_or_leaks_is_refused(changes, reason):
    with pytest.raises(ValueError, match=re.escape(f"data.validation_fraction{reason}")):
        config.override(config.PRESETS["modern"], changes)


def test_overrides_are_typed():
    got = config.resolve("demo", "train.epochs=3 lambdas=0.5,3 seeds=1 train.flip=no")
    assert (got.train.epochs, got.lambdas, got.seeds, got.train.flip) == (3, (0.5, 3.0), (1,), False)
    assert type(got.train.epochs) is int


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"train.epoch": 3}, ("train.epoch", "did you mean train.epochs")),
        ({"epochs": 3}, ("did you mean train.epochs",)),
        ({"train.epochs": "three"}, ("train.epochs='three'", "int")),
        ({"train.epochs": 2.5}, ("train.epochs=2.5", "int")),
        ({"train.epochs": 0}, ("train.epochs=0",)),
        ({"train.epochs": float("inf")}, ("train.epochs",)),
        ({"train.learning_rate": float("nan")}, ("train.learning_rate",)),
        ({"data.size": 100}, ("data.size=100", "7 * 2^k")),
        ({"model.head": "tanh"}, ("model.head='tanh'", "linear, sigmoid")),
        ({"model.readout": "pooled"}, ("model.readout='pooled'", "flat, projected")),
        ({"train.diff_cutout": 1.5}, ("train.diff_cutout=1.5", "share from 0 to 1")),
        ({"data.subset": "calc-train+breast"}, ("data.subset", "mass-test")),
        ({"lambdas": ""}, ("lambdas",)),
        ({"lambdas": "3,3"}, ("lambdas", "once")),
        ({"lambdas": "3,nan"}, ("lambdas", "finite")),
        ({"preset": "paper"}, ("preset",)),
        ({"lambdas": {0.5: None, 3: None}}, ("lambdas={0.5: None, 3: None}", "give a text, a number")),
        ({"data.minority": None}, ("data.minority=None", "give a text, a number")),
        ({"seeds": [[1]]}, ("seeds=[[1]]", "give a text, a number")),
        ({"model.frozen_weights": "s3://bucket/weights.pt", "model.frozen_sha256": ""}, ("frozen_sha256",)),
    ],
)
def test_wrong_overrides_name_argument_value_and_fix(overrides, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are checked below)
        config.override(config.PRESETS["demo"], overrides)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


LARGEST = 2**53


@pytest.mark.parametrize("key", ["data.split_seed", "seeds", "evaluate.seed", "synthesise.seed"])
@pytest.mark.parametrize("value", ["-1", "4294967296"])
def test_a_seed_that_some_generator_refuses_is_refused_at_once(key, value):
    with pytest.raises(ValueError, match=f"{key}={value}: give a whole number from 0 to 4294967295"):
        config.override(config.Config(), {key: value})


@pytest.mark.parametrize("value", ["1", "1001", "9999999999999"])
def test_a_number_of_blocks_that_no_study_has_is_refused(value):
    with pytest.raises(ValueError, match=rf"utility\.seeds={value}: give a number of blocks from 2 to 1000"):
        config.override(config.Config(), {"utility.seeds": value})


@pytest.mark.parametrize("key", ["train.epochs", "data.split_seed", "seeds", "evaluate.seed", "synthesise.seed"])
@pytest.mark.parametrize("value", [LARGEST + 1, str(LARGEST + 1), -LARGEST - 1, "1e16", 1e300, "9" * 400])
def test_an_integer_that_would_be_rounded_is_refused(key, value):
    with pytest.raises(ValueError, match=f"{key}=.*(give a whole number up to 9007199254740992|of type int)"):
        config.override(config.PRESETS["demo"], {key: value})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(2**32 - 1, 2**32 - 1), (str(2**32 - 2), 2**32 - 2), (3.0, 3), ("3e2", 300), ("3.0", 3), (" 4 ", 4)],
)
def test_an_integer_arrives_as_it_was_given(value, wanted):
    got = config.resolve("demo", config.overrides_text({"data.split_seed": value, "seeds": [value]}))
    assert (got.data.split_seed, got.seeds) == (wanted, (wanted,))
    trial = config.Trial.parse(got.trials[0].name)
    assert trial.seed == wanted


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "team/mammogan", "kt:1", "kt'q", 'kt"q', "a`b", "a\\b", "a@champion", "a?b", "a#b", "a%20b",
     "a\nb", "a\0b", "a\u200bb", ".", "..", "../a", "a" * 252, "mammogan.lock"],
)  # fmt: skip
def test_a_models_name_that_only_the_registry_would_refuse(name):
    with pytest.raises(ValueError, match=r"^select\.model_name=") as caught:
        config.SelectConfig(model_name=name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["mammogan", "Team A", "brüste-2.1_x", "a" * 251, "a+b", "a&b=c", "(x), y"])
def test_a_models_name_that_is_fine(name):
    assert config.resolve("demo", config.overrides_text({"select.model_name": name})).select.model_name == name


@pytest.mark.parametrize("text", ["[]", "3", '"', "lambdas=3 train.epochs", '{"lambdas": "3"}', "lambdas=3 '"])
def test_what_is_no_text_of_overrides_is_refused(text):
    with pytest.raises(ValueError, match=r"^settings=.*KEY=VALUE"):
        config.resolve("demo", text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_value_survives_the_text_of_overrides(value):
    given = {"train.epochs": 7, "data.subset": "mass-train", "data.labels": value}
    text = config.overrides_text(given)
    assert shlex.split(text) == [f"{name}={given[name]}" for name in sorted(given)]


@pytest.mark.parametrize("value", [{3.0}, {"a": 1}, None, datetime.date(2026, 1, 1), [{}]])
def test_no_text_is_made_of_what_is_no_plain_value(value):
    with pytest.raises(ValueError, match=r"^lambdas=.*give a text, a number, true or false, or a list of these"):
        config.overrides_text({"lambdas": value})
    with pytest.raises(ValueError, match=r"^lambdas=.*give a text, a number, true or false, or a list of these"):
        config.override(config.PRESETS["demo"], {"lambdas": value})


def test_a_list_of_nothing_is_no_value_as_no_text_is():
    """An emptied ``audit.required`` is a mistake, such as a shell's variable that is not set."""
    with pytest.raises(ValueError, match=r"^audit\.required=\[\]: give at least one"):
        config.override(config.PRESETS["demo"], {"audit.required": []})
    with pytest.raises(ValueError, match=r"^audit\.required=''"):
        config.resolve("demo", config.overrides_text({"audit.required": []}))


def test_the_text_of_overrides_is_what_stands_behind_set_in_any_order_and_without_quotes():
    """Each quote would be eight characters in Kubeflow's workflow, six times a step."""
    given = {"train.epochs": 7, "lambdas": [0.5, 3], "train.flip": False, "seeds": (0, 1), "utility.shares": "1.0"}
    text = "lambdas=0.5,3 seeds=0,1 train.epochs=7 train.flip=False utility.shares=1.0"
    assert config.overrides_text(given) == config.overrides_text(dict(reversed(given.items()))) == text


def test_a_whole_configuration_is_one_text():
    text = config.settings_text("demo", {"lambdas": "3", "model.frozen_weights": "a b"})
    assert text == "preset=demo lambdas=3 'model.frozen_weights=a b'"
    assert config.parse(text) == config.resolve("demo", "lambdas=3 'model.frozen_weights=a b'")
    assert config.parse("lambdas=3 preset=paper") == config.resolve("paper", "lambdas=3")
    assert config.parse("preset=modern") == config.PRESETS["modern"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"^settings='': name the preset too"),
        ("lambdas=3", r"^settings=.*name the preset too, such as preset=paper"),
        ("preset=papers", r"^preset='papers': choose one of demo, paper, modern"),
        ("preset=demo preset=paper", r"^settings=.*preset is given more than once"),
        ("preset=demo lambdas=3 lambdas=5", r"^settings=.*lambdas is given more than once"),
        ("preset=demo train.epoch=3", r"^train\.epoch=.*did you mean train\.epochs"),
        ("paper", r"^settings='paper': 'paper' is no KEY=VALUE"),
    ],
)
def test_what_is_no_whole_configuration_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        config.parse(text)


def test_a_preset_is_no_setting_among_others():
    """Else the last one would count, without a word."""
    with pytest.raises(ValueError, match=r"^preset='paper': no setting among others; choose it by --preset"):
        config.settings_text("demo", {"preset": "paper"})


def test_unknown_preset():
    with pytest.raises(ValueError, match="choose one of demo, paper, modern"):
        config.resolve("papers")


@pytest.mark.parametrize("name", config.PRESETS)
def test_flat_names_every_setting_and_overriding_with_it_changes_nothing(name):
    preset = config.PRESETS[name]
    flat = preset.flat()
    sections = [field for field in dataclasses.fields(preset) if dataclasses.is_dataclass(getattr(preset, field.name))]
    count = sum(len(dataclasses.fields(getattr(preset, field.name))) for field in sections)
    assert len(flat) == count + len(dataclasses.fields(preset)) - len(sections)
    del flat["preset"]
    assert config.resolve(name, config.overrides_text(flat)) == preset


@given(st.floats(0, allow_infinity=False), st.integers(0, 2**31))
def test_trial_name_round_trip(gp_lambda, seed):
    trial = config.Trial(gp_lambda, seed)
    assert config.Trial.parse(trial.name) == trial


def test_trial_name_of_other_text():
    with pytest.raises(ValueError, match=r"lambda=0\.5,seed=0"):
        config.Trial.parse("0.5")


def test_trials_are_lambda_times_seed():
    names = [trial.name for trial in config.resolve("demo", "seeds=0,1 lambdas=0.5,3").trials]
    assert names == ["lambda=0.5,seed=0", "lambda=0.5,seed=1", "lambda=3,seed=0", "lambda=3,seed=1"]
