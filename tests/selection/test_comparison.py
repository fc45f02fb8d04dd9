import csv
import dataclasses

import numpy as np
import pytest
from sample_run import paper_run
from scipy import stats

from mammogan.config import SelectConfig
from mammogan.results import Direction, Evaluation, Finding, Measurement, Quantity, TrialStatus
from mammogan.selection.comparison import compare_lambdas, compare_run, compare_trials, describe, sentence


def evaluation(gp_lambda, seed, values, metric="kid", pairing="train", status=TrialStatus.FINISHED, **changes):
    given = {"low": None, "high": None, "confidence": 0.95, "reference": 0.0, "direction": Direction.LOWER,
             "n_real": 9, "n_fake": 9, "seed": 0, "implementation": "x"}  # fmt: skip
    quantity = Quantity(metric, "x", pairing)
    measurements = [
        Measurement(quantity=quantity, value=float(value), epoch=epoch, **{**given, **changes})
        for epoch, value in values.items()
    ]
    return Evaluation(gp_lambda=gp_lambda, seed=seed, status=status, measurements=tuple(measurements))


def test_seeds_pair_and_the_interval_is_the_paired_t_test():
    a, b = np.array([0.1, 0.4, 0.2, 0.15]), np.array([0.2, 0.45, 0.35, 0.2])
    trials = [evaluation(1.0, seed, {10: 9.0, 60: x, 100: x}) for seed, x in enumerate(a)]
    trials += [evaluation(3.0, seed, {10: 1.0, 60: x, 100: x}) for seed, x in enumerate(b)]
    (result,) = compare_lambdas(trials, "kid", "train", 0.9)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert (result.pairs, result.paired_by, result.finding) == (4, "seed", Finding.BETTER)
    assert result.better == 1


def test_several_lambdas_share_the_error_rate_and_lost_seeds_drop_out():
    trials = [evaluation(g, s, {100: g + s * s}) for g in (0.5, 3.0, 5.0) for s in (0, 1, 2) if (g, s) != (5.0, 2)]
    results = compare_lambdas(trials, "kid", "train")
    assert [(r.one, r.other, r.pairs) for r in results] == [(0.5, 3, 3), (0.5, 5, 2), (3, 5, 2)]
    assert results[0].confidence == pytest.approx(1 - 0.05 / 3)


def test_one_seed_cannot_tell_whatever_its_snapshots_show():
    trials = [evaluation(g, 0, {e: g * 0.01 + (e % 200) for e in range(100, 1100, 100)}) for g in (1.0, 2.0)]
    (result,) = compare_lambdas(trials, "kid", "train")
    assert (result.pairs, result.paired_by, result.seeds) == (6, "epoch", 1)
    assert (result.low, result.high) == pytest.approx((-0.01, -0.01))
    assert (result.finding, result.better) == (Finding.ONE_SEED, None)
    assert sentence(result) == "one seed is not enough to tell lambda=1 from lambda=2"


def test_the_words_are_those_of_the_lambda_they_are_about():
    """Paired differences of exactly 1 and 1 + 0.5 * (-1, 0, 1): t(0.975, 2) = 4.302653 of a printed table."""
    trials = [evaluation(1.0, seed, {100: 5.0}) for seed in range(3)]
    trials += [evaluation(2.0, seed, {100: 6.0 + 0.1 * (seed - 1)}) for seed in range(3)]
    comparisons = compare_lambdas(trials, "kid", "train")
    half = 4.302653 * 0.1 / 3**0.5
    assert describe(comparisons, 1.0) == (
        f"lambda=1 is better than lambda=2 (difference -1 [{-1 - half:.4g}, {-1 + half:.4g}] over 3 seeds)"
    )
    assert describe(comparisons, 2.0) == (
        f"lambda=2 is worse than lambda=1 (difference 1 [{1 - half:.4g}, {1 + half:.4g}] over 3 seeds)"
    )
    assert describe(comparisons, 7.0) == "there is no other lambda to compare with"


def test_rivals_of_the_same_verdict_share_a_clause():
    trials = [evaluation(g, s, {100: s * (-1) ** s}) for g in (1.0, 2.0, 3.0) for s in (0, 1)]
    trials += [evaluation(g, 0, {100: g}) for g in (4.0, 5.0)] + [evaluation(6.0, 9, {100: 1.0})]
    assert describe(compare_lambdas(trials, "kid", "train"), 1.0) == (
        "no significant difference between lambda=1 and lambda=2 (difference 0 [0, 0] over 2 seeds) "
        "and lambda=3 (difference 0 [0, 0] over 2 seeds); "
        "one seed is not enough to tell lambda=1 from lambda=4 and lambda=5; "
        "lambda=1 has no seed in common with lambda=6"
    )


@pytest.mark.parametrize(("direction", "better"), [("lower", 1), ("higher", 2), ("match_reference", 2)])
def test_directions(direction, better):
    values = {1.0: {50: 0.2, 100: 0.21}, 2.0: {50: 0.5, 100: 0.52}}
    trials = [
        evaluation(g, s, v, direction=Direction(direction), reference=0.5) for g, v in values.items() for s in (0, 1)
    ]
    assert compare_lambdas(trials, "kid", "train")[0].better == better


def test_what_cannot_be_compared_says_why():
    one = evaluation(1.0, 0, {100: 0.2})
    with pytest.raises(ValueError, match="1 lambdas have it"):
        compare_lambdas([one], "kid", "train")
    with pytest.raises(ValueError, match="different protocols"):
        compare_lambdas([one, evaluation(2.0, 0, {100: 0.2}, n_fake=5)], "kid", "train")
    lone = compare_lambdas([one, evaluation(2.0, 0, {100: 0.3})], "kid", "train")[0]
    assert (lone.low, lone.finding) == (None, Finding.ONE_SEED)
    apart = compare_lambdas([one, evaluation(2.0, 1, {100: 0.3})], "kid", "train")[0]
    assert (apart.difference, apart.finding) == (None, Finding.NO_SEED)


@pytest.mark.parametrize("fields", [{"metric": "fid"}, {"pairing": "test"}])
def test_a_trial_without_the_metric_and_a_failed_one_are_left_out(fields):
    good = [evaluation(1.0, 0, {100: 0.2}), evaluation(3.0, 0, {100: 0.2})]
    gone = evaluation(5.0, 0, {100: 0.1}, status=TrialStatus.DIVERGED)
    comparisons = compare_trials([*good, gone, evaluation(2.0, 0, {100: 0.1}, **fields)], SelectConfig())
    assert [(item.one, item.other) for item in comparisons] == [(1.0, 3.0)]
    assert compare_trials([good[0], gone], SelectConfig()) == []


def test_the_papers_own_tables_do_not_show_that_lambda_3_wins(shared):
    """Tables 1-3: its best KID is lambda 3's, by less than the noise from snapshot to snapshot."""
    with (shared / "data/paper_tables.csv").open() as file:
        rows = list(csv.DictReader(file))
    lambdas = sorted({float(row["lambda"]) for row in rows})
    trials = [
        evaluation(g, 0, {int(row["epoch"]): float(row["kid"]) for row in rows if float(row["lambda"]) == g})
        for g in lambdas
    ]
    comparisons = {(r.one, r.other): r for r in compare_lambdas(trials, "kid", "train")}
    assert comparisons[0.5, 3.0].low < 0 < comparisons[0.5, 3.0].high
    assert comparisons[0.5, 3.0].finding is Finding.ONE_SEED


def test_a_run_is_described_as_its_decision_describes_it():
    run = paper_run()
    comparisons = compare_run(run)
    assert comparisons == run.decision.comparisons
    assert [(item.one, item.other, item.pairs) for item in comparisons] == [(0.5, 3, 6), (0.5, 5, 6), (3, 5, 6)]
    undecided = dataclasses.replace(run, decision=None)
    assert compare_run(undecided) == list(comparisons)
    assert run.decision.verdict.endswith(describe(comparisons, 3.0))
