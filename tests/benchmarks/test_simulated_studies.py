"""The simulated utility studies: their scores have the AUC that they are given, and they come to a finding."""

import math

import numpy as np
import pytest
from decision_simulations import feature_vectors, known_aucs, studies, whole_studies
from decision_simulations.setting import Setting
from decision_simulations.studies import Study

from mammogan.results import Benefit
from mammogan.utility import delong
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC


def test_simulated_scores_have_the_auc_that_they_are_given(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(known_aucs, "concluded", lambda scores, test: seen.append((scores, test)))
    auc = {REAL: 0.6, OVERSAMPLED: 0.7, AUGMENTED: 0.7, SYNTHETIC: 0.8, BOTH: 0.9}
    for _ in range(4):
        known_aucs.study(auc, known_aucs.TestSet(1500, 1500), rng)
    means = {arm: np.mean([delong.components(scores[arm], test).value for scores, test in seen]) for arm in auc}
    assert means == pytest.approx(auc, abs=0.02)


def test_a_study_without_a_smallest_effect_takes_no_part_in_their_mean():
    some = [Study(Benefit.NO_DIFFERENCE, effect, earlier=False) for effect in (0.1, 0.3, math.nan)]
    assert studies.smallest_effect(some) == pytest.approx(0.2)
    assert studies.effect_claim("x", some).after.repetitions == 2


def test_the_earlier_rule_takes_oversampling_for_help(rng):
    """Synthetic images that are as good as oversampling, which is better than real images alone."""
    auc = known_aucs.levels(0, 0) | {REAL: 0.5}
    drawn = [known_aucs.study(auc, known_aucs.TestSet(60, 60), rng) for _ in range(20)]
    claim = studies.help_claim("x", drawn, most=0.05)
    assert claim.before.value > 0.5 > 0.2 > claim.after.value
    assert claim.holds


def test_a_finding_that_is_always_help_breaks_the_bound(monkeypatch):
    monkeypatch.setattr(known_aucs, "study", lambda *_: Study(Benefit.HELPS, 0.3, earlier=True))
    monkeypatch.setattr(known_aucs, "SETS", {"x": known_aucs.TestSet(5, 5)})
    claims = list(known_aucs.simulate(Setting(30)))
    assert [claim.holds for claim in claims if claim.bound == "at most 5%"] == [False] * 3


def test_studies_of_feature_vectors_come_to_a_finding(rng):
    found = feature_vectors.study(feature_vectors.truth, rng)
    assert found.finding in Benefit
    assert 0 < found.smallest_effect < 0.5


@pytest.mark.long
def test_a_whole_study_comes_to_a_finding():
    assert whole_studies.whole_study([0, 0], useful=False).finding in Benefit
