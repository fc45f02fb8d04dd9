import csv
import dataclasses

import numpy as np
import pytest
from sample_run import paper_run
from scipy import stats

from mammogan.config import SelectConfig
from mammogan.results import Direction, Evaluation, Finding, Measurement, Quantity, TrialStatus
from mammogan.selection import blocks
from mammogan.selection.comparison import (
    compare_lambdas,
    compare_run,
    compare_trials,
    describe,
    describe_design,
    run_figures,
    sentence,
)


def evaluation(gp_lambda, seed, values, metric="kid", pairing="train", status=TrialStatus.FINISHED, **changes):
    given = {"low": None, "high": None, "confidence": 0.95, "reference": 0.0, "direction": Direction.LOWER,
             "n_real": 9, "n_fake": 9, "seed": 0, "implementation": "x"}  # fmt: skip
    quantity = Quantity(metric, "x", pairing)
    measurements = [
        Measurement(quantity=quantity, value=float(value), epoch=epoch, **{**given, **changes})
        for epoch, value in values.items()
    ]
    return Evaluation(gp_lambda=gp_lambda, seed=seed, status=status, measurements=tuple(measurements))


def test_two_lambdas_in_blocks_are_the_paired_t_test():
    a, b = np.array([0.1, 0.4, 0.2, 0.15]), np.array([0.2, 0.45, 0.35, 0.2])
    trials = [evaluation(1.0, seed, {10: 9.0, 60: x, 100: x}) for seed, x in enumerate(a)]
    trials += [evaluation(3.0, seed, {10: 1.0, 60: x, 100: x}) for seed, x in enumerate(b)]
    (result,) = compare_lambdas(trials, "kid", "train", 0.9)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert (result.seeds, result.finding, result.better) == (4, Finding.BETTER, 1)
    assert result.bound == -result.low


MADE = {0.5: (0.31, 0.42, 0.28), 3.0: (0.25, 0.38, 0.26), 5.0: (0.33, 0.47, 0.30)}


def made(values=MADE, without=()):
    return [
        evaluation(g, s, {100: kid})
        for g, kids in values.items()
        for s, kid in enumerate(kids)
        if (g, s) not in without
    ]


def test_all_lambdas_share_one_residual_and_tukeys_quantile():
    """By hand: residual mean square of the two-way table, q(0.95; 3, 4) = 5.040 of the printed tables."""
    table = np.array(list(MADE.values()))
    rest = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    residual = np.sqrt((rest**2).sum() / 4)
    found = compare_lambdas(made(), "kid", "train")
    assert [(item.one, item.other) for item in found] == [(0.5, 3), (0.5, 5), (3, 5)]
    for item in found:
        difference = np.mean(MADE[item.one]) - np.mean(MADE[item.other])
        assert item.difference == pytest.approx(difference)
        assert item.high - item.difference == pytest.approx(5.040 * residual / 3**0.5, rel=1e-3)
    design = found[0].design
    assert (design.lambdas, design.seeds, design.runs, design.missing, design.freedom) == (3, 3, 9, 0, 4)
    assert design.residual_sd == pytest.approx(residual)
    assert design.confidence == 0.95


def test_a_failed_run_is_left_out_of_the_fit_and_not_filled_in():
    """The fit with one run missing is that of every parameter written out, as statsmodels and R's lm give it."""
    found = compare_lambdas(made(without=[(5.0, 2)]), "kid", "train")
    cells = [(g, s) for g in MADE for s in range(3) if (g, s) != (5.0, 2)]
    design = np.array([[1, g == 3, g == 5, s == 1, s == 2] for g, s in cells], dtype=float)
    values = np.array([MADE[g][s] for g, s in cells])
    solution, squares, *_ = np.linalg.lstsq(design, values)
    covariance = np.linalg.inv(design.T @ design) * squares[0] / 3
    assert found[0].difference == pytest.approx(-solution[1])
    assert found[1].difference == pytest.approx(-solution[2])
    half = stats.studentized_range.ppf(0.95, 3, 3) / 2**0.5 * covariance[2, 2] ** 0.5
    assert found[1].high - found[1].difference == pytest.approx(half, rel=1e-6)
    assert (found[1].design.freedom, found[1].design.missing, found[1].seeds) == (3, 1, 2)
    assert (
        "8 runs of 3 lambdas in blocks by 3 seeds, 1 missing and left out of the least-squares fit"
        in describe_design(found[1].design)
    )


def test_lambdas_without_a_common_seed_are_compared_by_way_of_a_third():
    chain = {(1.0, 0): 1.0, (1.0, 1): 1.2, (2.0, 2): 5.0, (2.0, 3): 5.1}
    chain |= {(3.0, seed): value for seed, value in enumerate((2.0, 2.1, 4.0, 4.3))}
    trials = [evaluation(*cell, {100: value}) for cell, value in chain.items()]
    found = {(item.one, item.other): item for item in compare_lambdas(trials, "kid", "train")}
    assert found[1.0, 2.0].difference == pytest.approx((1.1 - 2.05) - (5.05 - 4.15))
    assert found[1.0, 2.0].seeds == 0
    assert found[1.0, 2.0].low is not None


def test_the_smallest_detectable_difference_is_found_in_four_of_five(rng):
    """And the seeds that an observed difference needs find it so often, one fewer does not."""
    (item, *_) = compare_lambdas(made(), "kid", "train")
    assert item.detectable == pytest.approx(4.663 * item.design.residual_sd * (2 / 3) ** 0.5, rel=1e-3)
    assert power(rng, 4.663 * (2 / 3) ** 0.5, 3) == pytest.approx(0.8, abs=0.035)
    needed = blocks.blocks_needed(1.5, 1.0, 0.95, 3)
    assert power(rng, 1.5, needed) > 0.8 - 0.03
    assert power(rng, 1.5, needed - 1) < 0.8 + 0.01
    assert blocks.blocks_needed(0.0, 1.0, 0.95, 3) is None
    assert blocks.blocks_needed(0.01, 1.0, 0.95, 3) is None


def power(rng, true, seeds, draws=1000):
    """Share of draws of three lambdas in which the third, worse by ``true`` residual deviations, is found worse."""
    hits = 0
    for _ in range(draws):
        noise = rng.normal(size=(3, seeds)) + 5 * rng.normal(size=seeds)
        fitted = blocks.fit({(g, s): noise[g, s] + true * (g == 2) for g in range(3) for s in range(seeds)})
        hits += fitted.difference(2, 0) > blocks.critical(0.95, 3, fitted.freedom) * fitted.standard_error(2, 0)
    return hits / draws


@pytest.mark.parametrize(("levels", "freedom"), [(3, 41), (4, 97), (6, 2000)])
def test_the_quantile_of_many_degrees_of_freedom_is_scipys(levels, freedom):
    expected = stats.studentized_range.ppf(0.95, levels, freedom) / 2**0.5
    assert blocks.critical(0.95, levels, freedom) == pytest.approx(expected, abs=1e-4)


def test_one_seed_cannot_tell_whatever_its_snapshots_show():
    trials = [evaluation(g, 0, {e: g * 0.01 + (e % 200) for e in range(100, 1100, 100)}) for g in (1.0, 2.0)]
    (result,) = compare_lambdas(trials, "kid", "train")
    assert (result.low, result.high, result.seeds, result.detectable) == (None, None, 1, None)
    assert (result.finding, result.better) == (Finding.ONE_SEED, None)
    assert sentence(result) == "one seed is not enough to tell lambda=1 from lambda=2"


def test_a_run_that_stopped_early_is_compared_with_what_the_others_were_by_then():
    """Lambda 2 goes on falling to epoch 100; at 40, where lambda 1's first seed stopped, it is the worse one."""
    trials = [evaluation(1.0, 0, {10: 9.0, 20: 3.0, 40: 2.0})]
    trials += [evaluation(1.0, s, {10: 9.0, 20: 3.0 + s, 40: 2.1 + s, 80: 2.0, 100: 2.0}) for s in (1, 2)]
    trials += [evaluation(2.0, s, {10: 9.0, 20: 4.0 + s, 40: 3.1 + s, 80: 0.0, 100: 0.0}) for s in range(3)]
    (result,) = compare_lambdas(trials, "kid", "train")
    assert result.finding is Finding.BETTER
    design = result.design
    assert (design.first_epoch, design.last_epoch, design.shortest) == (20, 40, "lambda=1,seed=0")
    assert "epochs 20 to 40, where lambda=1,seed=0 ended while others went on" in describe_design(design)
    assert run_figures(trials, "kid", "train")[2.0] == {0: 3.55, 1: 4.55, 2: 5.55}


def test_runs_without_a_common_epoch_are_not_compared():
    trials = [evaluation(g, s, {100 if g == 1 else 90: 1.0}) for g in (1.0, 2.0) for s in (0, 1)]
    (result,) = compare_lambdas(trials, "kid", "train")
    assert (result.difference, result.finding) == (None, Finding.NO_EPOCH)
    assert sentence(result) == "lambda=1 has no epoch in common with lambda=2"
    assert run_figures(trials, "kid", "train") == {}


def test_the_words_are_those_of_the_lambda_they_are_about():
    """Differences of exactly 1 and 1 + 0.1 * (-1, 0, 1): t(0.975, 2) = 4.302653 of a printed table."""
    trials = [evaluation(1.0, seed, {100: 5.0}) for seed in range(3)]
    trials += [evaluation(2.0, seed, {100: 6.0 + 0.1 * (seed - 1)}) for seed in range(3)]
    found = compare_lambdas(trials, "kid", "train")
    half = 4.302653 * 0.1 / 3**0.5
    assert (found[0].low, found[0].high) == pytest.approx((-1 - half, -1 + half), abs=1e-6)
    reach = "smallest detectable 0.326 at 80% power"
    assert describe(found, 1.0) == (
        f"lambda=1 is better than lambda=2 (difference -1.00 (-1.25 to -0.75) over 3 seeds, {reach})"
    )
    assert describe(found, 2.0) == (
        f"lambda=2 is worse than lambda=1 (difference 1.00 (0.75 to 1.25) over 3 seeds, {reach})"
    )
    assert describe(found, 7.0) == "there is no other lambda to compare with"


def test_without_a_finding_the_words_give_bound_and_seeds():
    item = compare_lambdas(made(), "kid", "train")[1]
    assert item.finding is Finding.NO_DIFFERENCE
    assert sentence(item) == (
        "no significant difference between lambda=0.5 and lambda=5 (difference -0.030 (-0.074 to 0.014) over 3 seeds, "
        "equivalent within 0.0745, smallest detectable 0.0582 at 80% power, one as observed needs 7 seeds)"
    )


def test_rivals_of_the_same_verdict_share_a_clause():
    trials = [evaluation(g, s, {100: s * (-1) ** s}) for g in (1.0, 2.0, 3.0) for s in (0, 1)]
    trials += [evaluation(g, 0, {100: g}) for g in (4.0, 5.0)] + [evaluation(6.0, 9, {100: 1.0})]
    found = describe(compare_lambdas(trials, "kid", "train"), 1.0)
    assert found.startswith("no significant difference between lambda=1 and lambda=2 (difference 0")
    assert ") and lambda=3 (difference 0" in found
    assert found.endswith(
        "; one seed is not enough to tell lambda=1 from lambda=4 and lambda=5; "
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


@pytest.mark.parametrize("lost", [{"metric": "fid"}, {"pairing": "test"}])
def test_a_trial_without_the_metric_and_a_lost_one_are_left_out(lost):
    good = [evaluation(1.0, 0, {100: 0.2}), evaluation(3.0, 0, {100: 0.2})]
    gone = evaluation(5.0, 0, {100: 0.1}, status=TrialStatus.DIVERGED)
    found = compare_trials([*good, gone, evaluation(2.0, 0, {100: 0.1}, **lost)], SelectConfig())
    assert [(item.one, item.other) for item in found] == [(1.0, 3.0)]
    assert compare_trials([good[0], gone], SelectConfig()) == []


def test_the_papers_own_tables_do_not_show_that_lambda_3_wins(shared):
    """Tables 1-3: its best KID is lambda 3's, of one seed each."""
    with (shared / "data/paper_tables.csv").open() as file:
        rows = list(csv.DictReader(file))
    lambdas = sorted({float(row["lambda"]) for row in rows})
    trials = [
        evaluation(g, 0, {int(row["epoch"]): float(row["kid"]) for row in rows if float(row["lambda"]) == g})
        for g in lambdas
    ]
    found = {(r.one, r.other): r for r in compare_lambdas(trials, "kid", "train")}
    assert found[0.5, 3.0].finding is Finding.ONE_SEED


def test_a_run_is_told_as_its_decision_tells_it():
    run = paper_run()
    made = compare_run(run)
    assert made == run.decision.comparisons
    assert [(item.one, item.other, item.seeds) for item in made] == [(0.5, 3, 1), (0.5, 5, 1), (3, 5, 1)]
    undecided = dataclasses.replace(run, decision=None)
    assert compare_run(undecided) == list(made)
    assert run.decision.verdict.endswith(describe(made, 3.0))
