"""Which reals rank the snapshots, and compare the lambdas: never the test ones."""

import dataclasses

import pytest
from sample_run import evaluation, measured, paper_run

from mammogan.config import PRESETS, SelectConfig, Trial
from mammogan.reporting.tables import paper_tables
from mammogan.results import Quantity, RankingReason
from mammogan.selection import pairing
from mammogan.selection.comparison import compare_trials
from mammogan.selection.ranking import select


def against(pairing, value, metric="kid", epoch=1, **changes):
    quantity = Quantity(metric, "inception", pairing)
    return dataclasses.replace(measured(epoch, metric, value), quantity=quantity, **changes)


def trial(gp_lambda, train, validation, seed=0, **changes):
    """A snapshot with KID against three kinds of reals, the test ones telling the contrary of the others."""
    figures = (
        against("train", train), against("validation", validation, **changes), against("test", 1 - validation),
        against("train", 9.0, "fid"), against("validation", 9.0, "fid"), measured(1, "lpips_fake_fake", 0.3),
    )  # fmt: skip
    return dataclasses.replace(evaluation(Trial(gp_lambda, seed), []), measurements=figures)


BOTH = [trial(0.5, 0.29, 0.31), trial(3.0, 0.31, 0.30)]


@pytest.mark.parametrize(
    ("asked", "winner", "used", "reason"),
    [
        ("auto", 3.0, "validation", RankingReason.VALIDATION),
        ("validation", 3.0, "validation", RankingReason.SETTING),
        ("train", 0.5, "train", RankingReason.SETTING),
    ],
)
def test_the_decision_says_what_ranked_the_snapshots(asked, winner, used, reason):
    decision = select(BOTH, SelectConfig(against=asked))
    assert (decision.winner.gp_lambda, decision.against, decision.against_because) == (winner, used, reason)
    assert {item.pairing for item in decision.winner.deciding} == {used}
    assert [item.gp_lambda for item in decision.lambdas] == [winner, 3.5 - winner]


@pytest.mark.parametrize("few", [True, False])
def test_without_enough_validation_patients_train_ranks(few):
    given = [trial(0.5, 0.29, 0.31, low=None, high=None), trial(3.0, 0.31, 0.30, low=None, high=None)]
    if not few:
        given = [
            dataclasses.replace(
                item, measurements=tuple(each for each in item.measurements if each.quantity.pairing != "validation")
            )
            for item in given
        ]
    decision = select(given, SelectConfig())
    assert (decision.winner.gp_lambda, decision.against) == (0.5, "train")
    assert decision.against_because is RankingReason.NO_VALIDATION
    asked = select(given, SelectConfig(against="validation"))
    assert asked.accepted is few
    assert few or "no kid against validation" in asked.reasons[0]


def test_lambdas_are_compared_on_the_same_reals():
    seeds = [
        trial(gp_lambda, 0.5 - value, value, seed) for seed in (0, 1) for gp_lambda, value in ((0.5, 0.3), (3, 0.1))
    ]
    (comparison,) = compare_trials(seeds, SelectConfig())
    assert comparison.design.pairing == "validation"
    assert comparison.difference == pytest.approx(0.2)
    (comparison,) = compare_trials(seeds, SelectConfig(against="train"))
    assert (comparison.design.pairing, comparison.difference) == ("train", pytest.approx(-0.2))


def test_a_run_that_ended_before_its_decision_is_shown_by_what_would_have_ranked_it():
    run = paper_run()
    assert pairing.pairing_of_run(run) == "train"
    early = dataclasses.replace(run, decision=None, config=PRESETS["modern"])
    assert pairing.pairing_of_run(early) == "train"
    trials = (dataclasses.replace(run.trials[0], evaluation=BOTH[0]),)
    assert pairing.pairing_of_run(dataclasses.replace(early, trials=trials)) == "validation"


def test_the_paper_ranks_as_it_did_and_test_reals_cannot_be_asked_for():
    assert {name: chosen.select.against for name, chosen in PRESETS.items()} == {
        "demo": "auto", "paper": "train", "modern": "auto",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"select\.against='test': choose one of auto, train, validation"):
        SelectConfig(against="test")
    only_test = [evaluation(Trial(3.0, 0), next(iter(paper_tables().values()))[:1])]
    moved = [
        dataclasses.replace(item, quantity=dataclasses.replace(item.quantity, pairing="test"))
        for item in only_test[0].measurements
    ]
    decision = select([dataclasses.replace(only_test[0], measurements=tuple(moved))], SelectConfig())
    assert not decision.accepted
