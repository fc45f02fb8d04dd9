"""The simulations of decisions: their worlds are what they say, and a rule that errs breaks its bound."""

import importlib
import re
from pathlib import Path

import decisions
import numpy as np
import pytest
from decision_simulations import contests, lambdas, promotion, required, winner, worlds
from decision_simulations.claims import HEADER, Claim, Decision, Figure, mean_of
from decision_simulations.setting import Setting

from mammogan.metrics.kid import kernel_distance
from mammogan.results import Outcome, Verdict

TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "decisions.md"
ANY = Decision.PROMOTION


def test_the_kid_of_a_generator_is_that_of_many_of_its_images(rng):
    def kernel(x, y):
        return np.mean(((x * y).sum(1) / worlds.DIMENSIONS + 1) ** 3)

    real, fake = (worlds.draw_fakes(rng, shift, 200_000) for shift in (0.0, 1.2))
    halves = [kernel(each[::2], each[1::2]) for each in (real, fake)]
    assert sum(halves) - 2 * kernel(real, fake) == pytest.approx(worlds.kid_of(1.2), rel=0.1)
    assert worlds.kid_of(worlds.shift_of(0.15)) == pytest.approx(0.15)
    patients = worlds.draw_patients(rng, 5000, 2).features
    assert np.mean(patients[::2] * patients[1::2]) == pytest.approx(worlds.SHARED, abs=0.02)


@pytest.mark.parametrize(("value", "holds"), [(0.02, True), (0.05, True), (0.064, True), (0.066, False), (0.5, False)])
def test_a_bound_is_broken_beyond_three_monte_carlo_errors(value, holds):
    claim = Claim(ANY, "y", Figure(value, 0.005, 1000), most=0.05)
    assert claim.holds is holds
    assert ("**no**" in claim.row) is not holds
    assert Claim(ANY, "y", Figure(value, 0.005, 1000)).holds  # stated alone
    assert Claim(ANY, "y", Figure(1 - value, 0.005, 1000), least=0.95).holds is holds


def test_what_must_never_be_is_broken_by_a_single_case():
    assert not Claim(ANY, "y", Figure(0.001, 0.001, 1000), most=0.0).holds
    assert Claim(ANY, "y", Figure(0.0, 0.001, 1000), most=0.0).holds
    assert not Claim(ANY, "y", Figure(0.999, 0.001, 1000), least=1.0).holds


def test_a_share_has_its_binomial_error():
    assert mean_of([True] * 30 + [False] * 70).error == pytest.approx((0.3 * 0.7 / 99) ** 0.5)
    assert mean_of([False] * 1000).error == pytest.approx(1e-3)


def test_every_named_simulation_is_there_and_a_thousand_repetitions_are_the_fewest(monkeypatch, capsys):
    for name in decisions.SIMULATIONS:
        assert callable(importlib.import_module(f"decision_simulations.{name}").simulate)
    monkeypatch.setattr("sys.argv", ["decisions.py", "--repetitions", "999"])
    with pytest.raises(SystemExit):
        decisions.main()
    assert "--repetitions=999: give at least 1000" in capsys.readouterr().err


def run(monkeypatch, *given):
    monkeypatch.setattr("sys.argv", ["decisions.py", "--processes", "1", *map(str, given)])
    return decisions.main()


@pytest.mark.parametrize(("kept", "status"), [(0.5, 0), (0.9, 1)])
def test_the_status_tells_of_a_broken_bound(monkeypatch, capsys, tmp_path, kept, status):
    claim = Claim(ANY, "y", Figure(kept, 0.01, 1000), Figure(1.0, 0.0, 1000), most=0.6)
    monkeypatch.setattr(lambdas, "simulate", lambda setting: [claim])
    assert run(monkeypatch, "--only", "lambdas", "--out", tmp_path / "table.md") == status
    assert claim.row in (tmp_path / "table.md").read_text()
    assert ("broken: promotion: y: 0.9, at most 60%" in capsys.readouterr().err) is bool(status)


def test_every_fault_needs_a_row_that_is_bounded_and_says_how_it_was_before(monkeypatch, capsys, tmp_path):
    """Of all simulations; without a data set copying is not simulated, which is no success."""
    by_module = dict(zip(decisions.SIMULATIONS, [*Decision, Decision.UTILITY], strict=True))
    for name, decision in by_module.items():
        claim = Claim(decision, name, Figure(0.01, 0.01, 1000), Figure(1.0, 0.0, 1000), most=0.05)
        module = importlib.import_module(f"decision_simulations.{name}")
        monkeypatch.setattr(module, "simulate", lambda setting, claim=claim: [claim])
    assert run(monkeypatch, "--dataset", tmp_path) == 0
    capsys.readouterr()
    assert run(monkeypatch) == 1
    assert f"not simulated: {by_module['copying']}: give --dataset" in capsys.readouterr().err
    alone = Claim(by_module["lambdas"], "stated alone", Figure(0.01, 0.01, 1000))
    monkeypatch.setattr(lambdas, "simulate", lambda setting: [alone])
    assert run(monkeypatch, "--dataset", tmp_path) == 1
    assert f"not simulated: {by_module['lambdas']}" in capsys.readouterr().err


def test_the_table_in_the_docs_has_a_row_of_every_fault_or_names_it_and_keeps_every_bound():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.read_text().splitlines()
            if line.startswith("|")]  # fmt: skip
    assert "| " + " | ".join(rows[0]) + " |" == HEADER.splitlines()[0]
    shown = {decision for decision, _, before, _, _, bound, _ in rows[2:] if "–" not in (before, bound)}
    named = set(re.findall(r"\*(.+?)\*", "".join(re.findall(r"Not simulated yet: (.*?)\.\n", TABLE.read_text()))))
    assert shown | named == set(Decision)
    assert not shown & named
    assert {kept for *_, bound, kept in rows[2:] if bound != "–"} == {"yes"}


@pytest.mark.parametrize("honest", [True, False])
def test_a_gate_that_lets_all_pass_is_found_out(monkeypatch, honest):
    monkeypatch.setattr(promotion, "SPEEDS", promotion.SPEEDS[:1])
    monkeypatch.setattr(promotion, "BETTER", (4.0,))
    monkeypatch.setattr(promotion, "standard_error", lambda _: 0.063)
    if not honest:
        monkeypatch.setattr(contests, "better_than", lambda contest: Verdict("", Outcome.PASSED, ""))
    equal, worse, power = promotion.simulate(Setting(20))
    assert (equal.holds, worse.holds) == (honest, honest)
    assert equal.before.value == worse.before.value == 1
    assert power.after.value > 0.7


def test_snapshots_are_ranked_by_kid(rng):
    real, fakes = rng.normal(size=(20, 5)), rng.normal(size=(3, 8, 5))
    expected = [kernel_distance(real, each) for each in fakes]
    assert np.diff(winner.kernel_distances(real, fakes)) == pytest.approx(np.diff(expected))


@pytest.mark.long  # of the benchmark: tests/evaluation holds the measurement itself
def test_the_winner_is_measured_anew_and_the_figure_that_selected_misses_its_truth(monkeypatch):
    """Without selection both hold it; with it the old one does not: the best of many is the luckiest."""
    monkeypatch.setattr(winner, "standard_error", lambda _: 0.063)
    monkeypatch.setattr(winner, "SPREADS", winner.SPREADS[:1])
    (many,) = winner.simulate(Setting(60))
    assert many.after.value >= 0.9 > many.before.value
    monkeypatch.setattr(winner, "SNAPSHOTS", 1)
    (alone,) = winner.simulate(Setting(60))
    assert alone.before.value >= 0.9


def test_no_check_may_be_missing_and_few_images_show_nothing():
    few, most, whole, *looked_at = required.simulate(Setting(200))
    assert [claim.after.value for claim in (few, most, whole)] == [0, 0, 1]
    assert [claim.before.value for claim in (few, most, whole)] == [1, 1, 1]
    assert [claim.after.value for claim in looked_at] == [0, 0, 0]
    assert looked_at[0].before.value > 0.8


def test_an_audit_that_requires_nothing_is_found_out(monkeypatch):
    monkeypatch.setattr(required, "SETTINGS", required.AuditConfig(required=()))
    assert not next(iter(required.simulate(Setting(20)))).holds
