import csv

import numpy as np
import pytest
from sample_run import paper_run
from scipy import stats

from mammogan.comparison import compare_lambdas, compare_run


def evaluation(gp_lambda, seed, values, **changes):
    base = {"metric": "kid", "pairing": "train", "key": "kid/x/train", "direction": "lower", "floor": 0.0,
            "n_real": 9, "n_fake": 9}  # fmt: skip
    records = [{**base, "epoch": epoch, "value": value, **changes} for epoch, value in values.items()]
    return {"gp_lambda": gp_lambda, "seed": seed, "records": records}


def test_seeds_pair_and_the_interval_is_the_paired_t_test():
    a, b = np.array([0.1, 0.4, 0.2, 0.15]), np.array([0.2, 0.45, 0.35, 0.2])
    branches = [evaluation(1.0, seed, {10: 9.0, 60: x, 100: x}) for seed, x in enumerate(a)]
    branches += [evaluation(3.0, seed, {10: 1.0, 60: x, 100: x}) for seed, x in enumerate(b)]
    (result,) = compare_lambdas(branches, "kid", "train", 0.9)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (result["low"], result["high"]) == pytest.approx((expected.low, expected.high))
    assert (result["pairs"], result["paired_by"], result["verdict"]) == (4, "seed", "lambda=1 is better")


def test_several_lambdas_share_the_error_rate_and_lost_seeds_drop_out():
    branches = [evaluation(g, s, {100: g + s * s}) for g in (0.5, 3.0, 5.0) for s in (0, 1, 2) if (g, s) != (5.0, 2)]
    results = compare_lambdas(branches, "kid", "train")
    assert [(r["one"], r["other"], r["pairs"]) for r in results] == [(0.5, 3, 3), (0.5, 5, 2), (3, 5, 2)]
    assert results[0]["confidence"] == pytest.approx(1 - 0.05 / 3)


def test_one_seed_pairs_epochs_and_says_so():
    branches = [evaluation(g, 0, {e: g * 0.01 + (e % 200) for e in range(100, 1100, 100)}) for g in (1.0, 2.0)]
    (result,) = compare_lambdas(branches, "kid", "train")
    assert result["pairs"] == 6
    assert "nothing of other seeds" in result["paired_by"]
    assert result["verdict"] == "lambda=1 is better"


@pytest.mark.parametrize(("direction", "better"), [("lower", 1), ("higher", 2), ("near_floor", 2)])
def test_directions(direction, better):
    values = {1.0: {50: 0.2, 100: 0.21}, 2.0: {50: 0.5, 100: 0.52}}
    branches = [evaluation(g, 0, v, direction=direction, floor=0.5) for g, v in values.items()]
    assert compare_lambdas(branches, "kid", "train")[0]["verdict"] == f"lambda={better} is better"


def test_what_cannot_be_compared_says_why():
    one = evaluation(1.0, 0, {100: 0.2})
    with pytest.raises(ValueError, match="1 lambdas have it"):
        compare_lambdas([one], "kid", "train")
    with pytest.raises(ValueError, match="different protocols"):
        compare_lambdas([one, evaluation(2.0, 0, {100: 0.2}, n_fake=5)], "kid", "train")
    lone = compare_lambdas([one, evaluation(2.0, 0, {100: 0.3})], "kid", "train")[0]
    assert (lone["low"], lone["verdict"]) == (None, "no significant difference")
    assert compare_lambdas([one, evaluation(2.0, 1, {100: 0.3})], "kid", "train") == []


def test_the_papers_own_tables_do_not_show_that_lambda_3_wins(shared):
    """Tables 1-3: its best KID is lambda 3's, by less than the noise from snapshot to snapshot."""
    with (shared / "data/paper_tables.csv").open() as file:
        rows = list(csv.DictReader(file))
    lambdas = sorted({float(row["lambda"]) for row in rows})
    branches = [
        evaluation(g, 0, {int(row["epoch"]): float(row["kid"]) for row in rows if float(row["lambda"]) == g})
        for g in lambdas
    ]
    verdicts = {(r["one"], r["other"]): r["verdict"] for r in compare_lambdas(branches, "kid", "train")}
    assert verdicts[0.5, 3.0] == "no significant difference"


def test_the_papers_own_lambdas_are_compared_by_their_epochs():
    results = {(item["one"], item["other"]): item for item in compare_run(paper_run())}
    assert set(results) == {(0.5, 3.0), (0.5, 5.0), (3.0, 5.0)}
    assert results[0.5, 3.0]["verdict"] == "no significant difference"
    assert all(item["pairs"] == 6 for item in results.values())
