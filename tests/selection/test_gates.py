"""Each gate refuses what it is there to refuse, and says what it could not check."""

import math

import pytest

from mammogan.selection.gates import Verdict, audited, better_than, diverse, measured, not_memorised, tally

KEY = "kid/inception/train"


def candidate(value=0.2, half=0.01, train_s=100.0, **changes):
    return {
        "deciding": [KEY],
        "metrics": {KEY: {"value": value, "low": value - half, "high": value + half, "reference": 0.01}},
        "protocol": {"n_real": 400, "n_fake": 1000, "seed": 0, "implementation": "x"},
        "data_digest": "d",
        "train_s": train_s,
        **changes,
    }


def with_metric(key, **measure):
    made = candidate()
    made["metrics"][key] = measure
    return made


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.2"])
def test_a_missing_or_infinite_metric_fails(value):
    bad = candidate()
    bad["metrics"][KEY]["value"] = value
    assert not measured(bad).passed
    assert not better_than(bad, None).passed
    assert not better_than(bad, candidate(9.0)).passed
    assert measured(candidate()).passed


def test_an_absent_metric_fails():
    assert not measured(candidate(metrics={})).passed
    assert not better_than(candidate(metrics={}), candidate()).passed


def test_worse_is_refused_and_better_passes():
    assert better_than(candidate(0.10), candidate(0.20)).passed
    assert not better_than(candidate(0.20), candidate(0.10)).passed


def test_not_worse_passes_only_when_cheaper():
    assert better_than(candidate(0.201, train_s=50), candidate(0.200)).passed
    assert better_than(candidate(0.199, train_s=50), candidate(0.200)).passed
    assert not better_than(candidate(0.199), candidate(0.200)).passed
    assert not better_than(candidate(0.199, train_s=None), candidate(0.200)).passed


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"protocol": {"n_real": 400, "n_fake": 500, "seed": 0, "implementation": "x"}}, "n_fake 500 against 1000"),
        ({"protocol": {"n_real": 400, "n_fake": 1000, "seed": 1, "implementation": "x"}}, "seed 1 against 0"),
        ({"data_digest": "e"}, "data_digest e against d"),
    ],
)
def test_another_protocol_is_not_compared(change, word):
    verdict = better_than(candidate(0.01, **change), candidate(0.5))
    assert not verdict.passed
    assert word in verdict.why


def test_another_extractor_is_not_compared():
    other = candidate(0.01)
    other |= {"deciding": ["kid/random_vgg/train"], "metrics": {"kid/random_vgg/train": other["metrics"][KEY]}}
    assert "not comparable" in better_than(other, candidate(0.5)).why


def test_a_champion_whose_metric_is_missing_is_not_beaten_by_default():
    assert "champion's metrics are missing" in better_than(candidate(), candidate(metrics={})).why


def test_the_first_champion_needs_no_rival():
    assert better_than(candidate(), None).passed


@pytest.mark.parametrize(("value", "passed"), [(0.02, False), (0.13, True), (0.5, True), (None, False)])
def test_diversity_floor(value, passed):
    assert diverse(with_metric("lpips/fake_fake", value=value, reference=0.3), 0.4).passed is passed


def test_diversity_must_be_measured():
    assert not diverse(candidate(), 0.4).passed


@pytest.mark.parametrize(("test_kid", "passed"), [(0.23, True), (0.30, False)])
def test_memorisation_is_a_gap_beyond_the_floor(test_kid, passed):
    made = with_metric("kid/inception/test", value=test_kid, low=test_kid - 0.01, high=test_kid + 0.01, reference=0.03)
    assert not_memorised(made).passed is passed


def test_memorisation_says_when_it_was_not_checked():
    assert "not checked" in not_memorised(candidate()).why


@pytest.mark.parametrize(
    ("answers", "told", "may_be_promoted"),
    [
        ("ppp", "passed 3 of 3 checks", True),
        ("pnpn", "passed 2 of 4 checks, 2 not checked", True),
        ("pnr", "refused: gate 2", False),
        ("nn", "not checked: none of 2 checks had its data", False),
        ("", "not checked: none of 0 checks had its data", False),
    ],
)
def test_a_check_that_was_not_made_did_not_pass(answers, told, may_be_promoted):
    why = {"p": "0.1; at most 0.2", "r": "0.3; at most 0.2", "n": "not checked: no patients are held out"}
    verdicts = [Verdict(f"gate {i}", key != "r", why[key]).to_dict() for i, key in enumerate(answers)]
    assert tally(verdicts) == told
    assert audited(tally(verdicts)).passed is may_be_promoted
