"""``benchmarks/decisions_utility.py``: its simulated scores have the AUC it says, and a broken bound is an error."""

import math
import sys

import benchmark_module
import numpy as np
import pytest

from mammogan.results import Benefit
from mammogan.utility.decision import conclude


@pytest.fixture(scope="module", name="benchmark")
def _benchmark():
    return benchmark_module.load("decisions_utility")


def row(benchmark, hits, count, **bounds):
    said = [Benefit.HELPS] * hits + [Benefit.NO_DIFFERENCE] * (count - hits)
    return benchmark.Row("n", "t", tuple(benchmark.Simulated(each, 0.1, old=False) for each in said), **bounds)


def test_simulated_scores_have_the_auc_that_they_are_given(benchmark, rng, monkeypatch):
    seen = []
    monkeypatch.setattr(benchmark, "simulated", lambda scores, test: seen.append((scores, test)))
    for _ in range(4):
        benchmark.scored(benchmark.levels(0.6, 0.7, 0.1, 0.2), benchmark.TestSet(1500, 1500), rng)
    means = {
        arm: np.mean([benchmark.delong.components(scores[arm], test).value for scores, test in seen])
        for arm in benchmark.LEARNERS
    }
    assert means == pytest.approx(
        {"real": 0.6, "oversampled": 0.7, "augmented": 0.7, "synthetic": 0.8, "synthetic_augmented": 0.9}, abs=0.02
    )


def test_a_bound_is_broken_by_more_than_chance_alone(benchmark):
    assert not row(benchmark, 14, 200, most=0.05).broken
    assert row(benchmark, 20, 200, most=0.05).broken
    assert not row(benchmark, 150, 200, least=0.8).broken
    assert row(benchmark, 140, 200, least=0.8).broken
    assert not row(benchmark, 200, 200).broken


@pytest.mark.parametrize(("hits", "status"), [(0, 0), (40, 1)])
def test_a_broken_bound_ends_with_status_1(benchmark, monkeypatch, tmp_path, capsys, hits, status):
    monkeypatch.setattr(benchmark, "score_rows", lambda _: [row(benchmark, hits, 100, most=0.05)])
    monkeypatch.setattr(benchmark, "fitted_rows", lambda _: [])
    monkeypatch.setattr(sys, "argv", ["decisions_utility.py", "--whole", "0", "--out", str(tmp_path / "page.md")])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == status
    page = (tmp_path / "page.md").read_text()
    assert page == capsys.readouterr().out.removesuffix("\n")
    assert ("**broken**: at most 5%" in page) is bool(status)


def test_studies_of_feature_vectors_come_to_a_finding(benchmark, rng):
    found = benchmark.fitted(benchmark.truth, rng)
    assert found.finding in Benefit
    assert 0 < found.smallest_effect < 0.5
    assert not math.isnan(found.smallest_effect)
    assert benchmark.conclude is conclude


@pytest.mark.long
def test_a_whole_study_comes_to_a_finding(benchmark):
    assert benchmark.whole_study(0, useful=False).finding in Benefit
