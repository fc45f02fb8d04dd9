"""The family of tests: Holm by hand, p-values and power against scipy, and what the findings come to."""

import itertools

import numpy as np
import pytest
from scipy.stats import nct, norm, t, ttest_1samp

from mammogan.results import Benefit, Finding, UtilityCounts
from mammogan.statistics import Variance, total_variance
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, SYNTHETIC
from mammogan.utility.decision import conclude, holm, one_sided, smallest_effect
from mammogan.utility.held_out import HeldOut
from mammogan.utility.wording import sentence

TEST = HeldOut(np.repeat([0, 1], 60), [str(number) for number in range(120)])
COUNTS = UtilityCounts(120, 120, 60, 60, 60, 60, 0, 40, 5)


def scores(rng, levels):
    """Scores (5, 120) of the four arms that decide, cases higher by a level each, noise shared by all arms."""
    shared = rng.normal(size=120)
    names = (OVERSAMPLED, SYNTHETIC, AUGMENTED, BOTH)
    return {
        name: shared + level * TEST.labels + 0.3 * rng.normal(size=(5, 120))
        for name, level in zip(names, levels, strict=True)
    }


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # Holm's steps: 4, 3, 2 and 1 times, never falling
        ([0.02, 0.03], [0.04, 0.04]),
        ([0.03, 0.02], [0.04, 0.04]),
        ([0.001, 0.2], [0.002, 0.2]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.04], [0.04]),
    ],
)
def test_holm_is_what_hands_compute(given, adjusted):
    assert holm(given) == pytest.approx(adjusted)


def test_p_values_are_those_of_students_test(rng):
    values = rng.normal(0.3, 1, 12)
    got = one_sided(float(values.mean()), [Variance(float(values.var(ddof=1)) / 12, 11)])
    for p, alternative in zip(got, ("greater", "less"), strict=True):
        assert p == pytest.approx(ttest_1samp(values, 0, alternative=alternative).pvalue)
    assert one_sided(0.0, [Variance(0.0, 3)]) == (0.5, 0.5)


def test_a_part_of_few_trainings_keeps_its_degrees_of_freedom():
    """Half of the variance is of five trainings: Satterthwaite gives 15 degrees of freedom, and 0.032 at t = 2."""
    parts = [Variance(0.5, 4), Variance(0.5, 110)]
    better, worse = one_sided(2.0, parts)
    assert better == pytest.approx((t.sf(2, 4) + t.sf(2, 110)) / 2) == pytest.approx(0.0410, abs=1e-4)
    assert better + worse == pytest.approx(1)
    assert t.sf(2, total_variance(parts)[1]) == pytest.approx(0.0317, abs=1e-4)


@pytest.mark.parametrize("freedom", [4, 60])
def test_the_smallest_effect_of_one_test_has_its_power_by_the_noncentral_t(freedom):
    effect = smallest_effect(np.array([0.02]), np.array([float(freedom)]), np.eye(1), 0.05)
    assert nct.sf(t.ppf(0.95, freedom), freedom, effect / 0.02) == pytest.approx(0.8, abs=0.015)


def test_the_smallest_effect_of_two_independent_tests_is_that_of_holms_procedure():
    """Both below 5%, and not both above 2.5%."""
    effect = smallest_effect(np.array([0.02, 0.02]), np.array([1e6, 1e6]), np.eye(2), 0.05)
    easy, hard = (norm.sf(norm.ppf(1 - level) - effect / 0.02) for level in (0.05, 0.025))
    assert easy**2 - (easy - hard) ** 2 == pytest.approx(0.8, abs=0.015)
    alike = smallest_effect(
        np.array([0.02, 0.02]), np.array([1e6, 1e6]), np.full((2, 2), 0.99) + 0.01 * np.eye(2), 0.05
    )
    assert alike < effect


def test_arms_that_do_not_differ_name_no_smallest_effect():
    assert smallest_effect(np.array([0.0, 0.02]), np.array([4.0, 4.0]), np.eye(2), 0.05) is None
    same = dict.fromkeys((OVERSAMPLED, SYNTHETIC, AUGMENTED, BOTH), np.tile(TEST.labels + 0.0, (3, 1)))
    conclusion = conclude(same, TEST, 0.95)
    assert (conclusion.finding, conclusion.smallest_effect) == (Benefit.NO_DIFFERENCE, None)
    assert "would be found" not in sentence(conclusion, COUNTS, (), 5)


@pytest.mark.parametrize(
    ("levels", "findings", "finding"),
    [
        ((0.5, 1.5, 0.5, 1.5), (Finding.BETTER, Finding.BETTER), Benefit.HELPS),
        ((1.5, 0.5, 1.5, 0.5), (Finding.WORSE, Finding.WORSE), Benefit.HARMS),
        ((0.5, 1.5, 1.0, 1.0), (Finding.BETTER, Finding.NO_DIFFERENCE), Benefit.NO_DIFFERENCE),
        ((1.0, 1.0, 0.5, 1.5), (Finding.NO_DIFFERENCE, Finding.BETTER), Benefit.NO_DIFFERENCE),
        ((0.5, 1.5, 1.5, 0.5), (Finding.BETTER, Finding.WORSE), Benefit.NO_DIFFERENCE),
        ((1.0, 1.0, 1.5, 0.5), (Finding.NO_DIFFERENCE, Finding.WORSE), Benefit.NO_DIFFERENCE),
    ],
)
def test_they_help_or_harm_only_where_both_comparisons_say_so(rng, levels, findings, finding):
    conclusion = conclude(scores(rng, levels), TEST, 0.95)
    assert tuple(test.finding for test in conclusion.tests) == findings
    assert conclusion.finding is finding


def test_the_sentence_says_the_finding_the_family_and_what_could_have_been_found(rng):
    sentences = {
        levels: sentence(conclude(scores(rng, levels), TEST, 0.95), COUNTS, (), 5)
        for levels in itertools.product((0.5, 1.5), repeat=4)
    }
    assert sentences[0.5, 1.5, 0.5, 1.5].startswith("The synthetic images help: AUC +")
    assert sentences[1.5, 0.5, 1.5, 0.5].startswith("The synthetic images harm: AUC -")
    none = sentences[0.5, 0.5, 0.5, 0.5]
    assert none.startswith("Adding synthetic images made no significant difference: AUC ")
    assert "against oversampling and " in none
    assert "with augmentation against augmentation alone" in none
    assert "in both would be found in 80% of such studies" in none
    assert none.endswith("a small test set, with fewer than 100 patients of a class")


@pytest.mark.long
def test_nothing_is_found_where_nothing_is_in_more_than_one_study_of_twenty(rng):
    """Better than oversampling by far, with augmentation no better: the worst case of the rule, 5% at most."""
    findings = [conclude(scores(rng, (0.0, 2.0, 0.7, 0.7)), TEST, 0.95).finding for _ in range(200)]
    assert findings.count(Benefit.HELPS) <= 18  # of 200 at 5% more happen in 1 of 100
