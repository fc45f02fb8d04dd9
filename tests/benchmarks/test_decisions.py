"""The simulations of decisions: their worlds are what they say, and a rule that errs breaks its bound."""

import importlib

import decisions
import numpy as np
import pytest
from decision_simulations import contests, lambdas, promotion, worlds
from decision_simulations.claims import Claim, Figure, mean_of

from mammogan.results import Outcome, Verdict


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
    claim = Claim("x", "y", Figure(value, 0.005, 1000), most=0.05)
    assert claim.holds is holds
    assert ("**no**" in claim.row) is not holds
    assert Claim("x", "y", Figure(value, 0.005, 1000)).holds  # stated alone
    assert Claim("x", "y", Figure(1 - value, 0.005, 1000), least=0.95).holds is holds


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


@pytest.mark.parametrize(("kept", "status"), [(0.5, 0), (0.9, 1)])
def test_the_status_tells_of_a_broken_bound(monkeypatch, capsys, tmp_path, kept, status):
    claim = Claim("x", "y", Figure(kept, 0.01, 1000), Figure(1.0, 0.0, 1000), most=0.6)
    monkeypatch.setattr(lambdas, "simulate", lambda repetitions, seed: [claim])
    monkeypatch.setattr("sys.argv", ["decisions.py", "--only", "lambdas", "--out", str(tmp_path / "table.md")])
    assert decisions.main() == status
    assert claim.row in (tmp_path / "table.md").read_text()
    assert ("broken: x: y: 0.9, at most 60%" in capsys.readouterr().err) is bool(status)


@pytest.mark.parametrize("honest", [True, False])
def test_a_gate_that_lets_all_pass_is_found_out(monkeypatch, honest):
    monkeypatch.setattr(promotion, "SPEEDS", promotion.SPEEDS[:1])
    monkeypatch.setattr(promotion, "BETTER", (4.0,))
    monkeypatch.setattr(promotion, "standard_error", lambda _: 0.063)
    if not honest:
        monkeypatch.setattr(contests, "better_than", lambda contest: Verdict("", Outcome.PASSED, ""))
    equal, worse, power = promotion.simulate(20, 0)
    assert (equal.holds, worse.holds) == (honest, honest)
    assert equal.before.value == worse.before.value == 1
    assert power.after.value > 0.7
