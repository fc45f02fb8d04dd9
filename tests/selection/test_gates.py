"""Each gate refuses what it is there to refuse, and says what it could not check."""

import dataclasses

import pytest

from mammogan.results import Candidate, Contest, Direction, Measurement, Outcome, Quantity, Verdict, combined
from mammogan.selection.gates import (
    as_released,
    audited,
    better_than,
    diverse,
    measured,
    not_memorised,
    not_passed,
    tally,
)

KID = Quantity("kid", "inception", "train")


def measurement(quantity=KID, value=0.2, half=0.01, **changes):
    given = {
        "low": value - half, "high": value + half, "confidence": 0.95, "reference": 0.01, "direction": Direction.LOWER,
        "n_real": 400, "n_fake": 1000, "seed": 0, "implementation": "x", "epoch": 7,
    }  # fmt: skip
    return Measurement(quantity=quantity, value=value, **{**given, **changes})


def candidate(value=0.2, half=0.01, data_digest="d", quantity=KID, **changes):
    measurements = (measurement(quantity, value, half, **changes),)
    return Candidate(3.0, 0, 7, (quantity,), data_digest, measurements)


def with_measurement(*more):
    base = candidate()
    return dataclasses.replace(base, measurements=(*base.measurements, *more))


def without_measurements():
    return dataclasses.replace(candidate(), measurements=())


def passes(verdict):
    return verdict.outcome is Outcome.PASSED


def test_an_absent_metric_fails():
    assert passes(measured(candidate()))
    assert measured(without_measurements()).outcome is Outcome.REFUSED
    assert measured(dataclasses.replace(candidate(), deciding=())).outcome is Outcome.REFUSED


def contest(upper, margin=0.0, **changes):
    quantity = Quantity("kid", "x", "test")
    given = {
        "quantity": quantity,
        "value": 0.1,
        "incumbent_value": 0.2,
        "difference": -0.1,
        "images": 30,
        "patients": 9,
    }
    return Contest("2", "1", margin, 0.975, upper=upper, **{**given, **changes})


@pytest.mark.parametrize(
    ("upper", "margin", "passed"),
    [(-0.01, 0.0, True), (0.0, 0.0, False), (0.01, 0.0, False), (-0.05, 0.05, False), (-0.051, 0.05, True)],
)
def test_better_is_what_lies_below_the_margin_with_its_upper_end(upper, margin, passed):
    assert passes(better_than(contest(upper, margin))) is passed


def test_what_was_not_measured_is_not_better():
    missing = better_than(Contest("2", "1", 0.0, 0.975, reason="champion version 1 draws 28 px"))
    assert (missing.outcome, missing.why) == (Outcome.NOT_CHECKED, "champion version 1 draws 28 px")
    assert not_passed([missing]) == "better than version 1: not checked: champion version 1 draws 28 px"
    assert not_passed([better_than(contest(-0.1))]) == ""
    assert not_passed([better_than(contest(0.1))]).startswith("better than version 1: x/kid_test 0.100 against 0.200 ")


@pytest.mark.parametrize(("value", "passed"), [(0.02, False), (0.13, True), (0.5, True)])
def test_diversity_reference(value, passed):
    among = measurement(Quantity("lpips", "lpips", "fake_fake"), value, reference=0.3)
    assert passes(diverse(with_measurement(among), 0.4)) is passed
    assert not passes(diverse(with_measurement(dataclasses.replace(among, reference=None)), 0.4))


def test_diversity_must_be_measured():
    assert not passes(diverse(candidate(), 0.4))


@pytest.mark.parametrize(("test_kid", "passed"), [(0.23, True), (0.30, False)])
def test_memorisation_is_a_gap_beyond_the_reference(test_kid, passed):
    for held_out in ("validation", "test"):
        close = with_measurement(measurement(Quantity("kid", "inception", held_out), test_kid, reference=0.03))
        found = not_memorised(close.measurements, held_out)
        assert passes(found) is passed
        assert ("does not exceed" in found.why) is passed
        assert (" by " in found.why) is not passed


def test_memorisation_says_when_it_was_not_checked():
    assert not_memorised(candidate().measurements).outcome is Outcome.NOT_CHECKED


@pytest.mark.parametrize(
    ("answers", "summary", "may_be_promoted"),
    [
        ("ppp", "passed 3 of 3 checks", True),
        ("pnpn", "passed 2 of 4 checks, 2 not checked", True),
        ("pnr", "refused: gate 2", False),
        ("nn", "not checked: none of 2 checks had its data", False),
        ("", "not checked: none of 0 checks had its data", False),
    ],
)
def test_a_check_that_was_not_made_did_not_pass(answers, summary, may_be_promoted):
    outcomes = {"p": Outcome.PASSED, "r": Outcome.REFUSED, "n": Outcome.NOT_CHECKED}
    verdicts = [Verdict(f"gate {i}", outcomes[key], "why") for i, key in enumerate(answers)]
    assert tally(verdicts) == summary
    assert passes(audited(combined(verdicts), tally(verdicts))) is may_be_promoted


def test_without_an_audit_nothing_is_promoted():
    assert audited(None, "").outcome is Outcome.REFUSED


def test_words_decide_nothing():
    """Every sentence that a gate could have written, whatever it says, leaves the outcome alone."""
    for outcome in Outcome:
        for words in ("passed 3 of 3 checks", "refused: gate 2", "not checked", "", "not done: too few"):
            assert combined([Verdict("gate", outcome, words)]) is outcome
            assert passes(audited(outcome, words)) is (outcome is Outcome.PASSED)


@pytest.mark.parametrize("challenger", [True, False])
def test_a_demo_does_not_follow_a_champion_for_release(challenger):
    answer = as_released(audited(Outcome.PASSED, "passed"), for_release=challenger)
    assert passes(answer) is challenger
