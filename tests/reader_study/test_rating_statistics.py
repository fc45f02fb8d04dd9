"""Intervals, tests, areas and kappas against closed forms, published numbers, scipy and scikit-learn."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from mammogan.reader_study.accuracy import detectable, p_guessing, share
from mammogan.reader_study.agreement import agreement, cohen, fleiss
from mammogan.reader_study.pooling import pooled_accuracy, pooled_area
from mammogan.reader_study.roc import area
from mammogan.statistics import placements


def tail(least, images, share):
    """P(X >= least) of a binomial, summed term by term in exact fractions."""
    share = Fraction(share)
    terms = (math.comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(least, images + 1))
    return float(sum(terms))


@pytest.mark.parametrize(("right", "images"), [(8, 10), (61, 100), (1, 30), (29, 30)])
def test_the_interval_is_clopper_and_pearsons_by_its_definition(right, images):
    found = share(right, images, 0.95)
    assert found.value == right / images
    assert tail(right, images, found.low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - tail(right + 1, images, found.high) == pytest.approx(0.025, rel=1e-6)


def test_the_interval_at_the_ends_has_a_closed_form():
    assert share(0, 10, 0.95).low == 0
    assert share(0, 10, 0.95).high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert share(10, 10, 0.95).low == pytest.approx(0.025 ** (1 / 10))


@pytest.mark.parametrize(("right", "images"), [(60, 100), (40, 100), (5, 6), (50, 100)])
def test_the_test_against_guessing_is_exact(right, images):
    more = max(right, images - right)
    assert p_guessing(right, images) == pytest.approx(min(1, 2 * tail(more, images, 0.5)))


@pytest.mark.parametrize("images", [6, 10, 40, 100, 101, 200])
def test_what_the_test_can_find(images):
    """At the distance given it is found in 80% of studies, by the test's own answer to each number of right ones."""
    distance = detectable(images, 0.95)
    least = min(right for right in range(images + 1) if right > images / 2 and p_guessing(right, images) <= 0.05)
    assert tail(least, images, 0.5 + distance) == pytest.approx(0.8)
    assert least == images or p_guessing(least - 1, images) > 0.05


def test_fewer_than_six_images_find_nothing():
    assert detectable(5, 0.95) is None
    assert p_guessing(5, 5) > 0.05


RATINGS = ((33, 6, 6, 11, 2), (3, 2, 2, 11, 33))
"""Normal and abnormal CT images by rating, 1 to 5: Hanley and McNeil (1982), Radiology 143, table I."""


def rated():
    return [np.repeat(np.arange(1, 6), counts) for counts in RATINGS]


def test_the_area_is_the_published_one():
    normal, abnormal = rated()
    found = area(abnormal, normal, 0.95)
    assert found.value == pytest.approx(0.893, abs=5e-4)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.032, abs=0.003)  # their standard error


def test_the_area_and_its_variance_are_those_of_other_libraries(rng):
    """Brunner and Munzel's statistic is the distance of the area from 1/2 by DeLong's standard deviation."""
    synthetic, real = rng.integers(-3, 6, 40), rng.integers(-5, 4, 55)
    above, below = placements(synthetic, real), placements(real, synthetic)
    truth = np.repeat([1, 0], [40, 55])
    value = area(synthetic, real, 0.95).value
    assert value == pytest.approx(roc_auc_score(truth, np.concatenate([synthetic, real])))
    deviation = math.sqrt(above.var(ddof=1) / 40 + below.var(ddof=1) / 55)
    assert (value - 0.5) / deviation == pytest.approx(abs(stats.brunnermunzel(real, synthetic).statistic))


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_the_areas_interval_holds_the_truth(rng, shift):
    edges = np.linspace(-2, 2, 9)
    cells = [np.diff(stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]), loc)) for loc in (shift, 0)]
    truth = cells[0] @ (np.cumsum(cells[1]) - cells[1] / 2)
    found = [
        area(*(rng.choice(10, 50, p=cell / cell.sum()) for cell in cells), 0.95)  # ten ratings, as the page has
        for _ in range(600)
    ]
    assert 0.92 <= np.mean([item.low <= truth <= item.high for item in found]) <= 0.985


def test_perfect_ratings_have_an_interval():
    found = area(np.full(20, 3), np.full(20, -3), 0.95)
    assert (found.value, found.high) == (1, 1)
    assert 0.75 < found.low < 0.9


def of_table(both, first, second, neither):
    """Answers of two readers from how many images both, one and none called synthetic."""
    pairs = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    return np.array(pairs, dtype=bool).T


def test_cohens_kappa_is_that_of_scikit_learn(rng):
    assert cohen(*of_table(20, 5, 10, 15)) == pytest.approx(0.4)  # 35 of 50 agree, 25 by chance
    first, second = rng.random((2, 60)) < 0.6
    assert cohen(first, second) == pytest.approx(cohen_kappa_score(first, second))


def asymptotic_deviation(table):
    """Of Cohen's kappa: Fleiss, Cohen and Everitt (1969), Psychological Bulletin 72, equation 13."""
    shares = np.asarray(table, dtype=float) / np.sum(table)
    rows, columns = shares.sum(1), shares.sum(0)
    observed, expected = np.trace(shares), rows @ columns
    kappa = (observed - expected) / (1 - expected)
    diagonal = sum(shares[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(2))
    others = sum(shares[i, j] * (columns[i] + rows[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    variance = diagonal + (1 - kappa) ** 2 * others - (kappa - expected * (1 - kappa)) ** 2
    return math.sqrt(variance / np.sum(table)) / (1 - expected)


@pytest.mark.parametrize("table", [(200, 50, 100, 150), (20, 5, 10, 15), (30, 5, 5, 60)])
def test_kappas_interval_is_near_the_asymptotic_one(table):
    found = agreement(of_table(*table), 0.95)
    both, first, second, neither = table
    deviation = asymptotic_deviation([[both, first], [second, neither]])
    quantile = stats.t.ppf(0.975, sum(table) - 1)
    # on a scale on which kappa stays between -1 and 1, so a little wider
    assert (found.kappa.high - found.kappa.low) / (2 * quantile) == pytest.approx(deviation, rel=0.06)
    assert found.statistic == "Cohen's kappa"
    assert found.observed == pytest.approx((both + neither) / sum(table))


COUNTS = """0 0 0 0 14  0 2 6 4 2  0 0 3 5 6  0 3 9 2 0  2 2 8 1 1
            7 7 0 0 0  3 2 6 3 0  2 5 3 2 2  6 5 2 1 0  0 2 2 3 7"""
"""Fourteen raters, ten subjects, five categories: the worked example of Wikipedia's article on Fleiss' kappa, 0.210."""


def test_fleiss_kappa_is_the_published_one():
    assert fleiss(np.array(COUNTS.split(), dtype=int).reshape(10, 5)) == pytest.approx(0.210, abs=5e-4)


def test_three_readers_agree_by_fleiss(rng):
    answers = rng.random((3, 50)) < 0.5
    found = agreement(answers, 0.95)
    yes = answers.sum(0)
    assert found.statistic == "Fleiss' kappa"
    assert found.kappa.value == pytest.approx(fleiss(np.stack([yes, 3 - yes], 1)))
    assert found.kappa.low < found.kappa.value < found.kappa.high
    pairs = [np.mean(answers[i] == answers[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.observed == pytest.approx(np.mean(pairs))


def test_full_agreement_is_no_certainty():
    found = agreement(of_table(10, 0, 0, 10), 0.95)
    least = 0.025 ** (1 / 20)  # share of agreement, exact
    assert (found.kappa.value, found.kappa.high) == (1, 1)
    assert found.kappa.low == pytest.approx((least - 0.5) / 0.5)


@pytest.mark.parametrize("table", [(0, 6, 0, 10), (7, 0, 9, 0), (0, 13, 0, 4)])
def test_a_reader_who_answers_all_alike_leaves_kappa_without_an_interval(table):
    """It is 0 by its definition, and 0 without any image: that is no certainty."""
    found = agreement(of_table(*table), 0.95)
    assert found.kappa.value == pytest.approx(0)
    assert (found.kappa.low, found.kappa.high) == (None, None)


def test_the_same_answer_to_all_leaves_kappa_undefined():
    found = agreement(of_table(12, 0, 0, 0), 0.95)
    assert (found.kappa, found.observed) == (None, 1)


def bootstrap_variance(values, kinds):
    """Of the mean over readers and images when both are drawn again: by the second moments of multinomial weights."""
    readers, images = values.shape
    drawn = 1 - 1 / readers + np.eye(readers)
    together = kinds[:, None] == kinds[None]
    size = np.array([(kinds == kind).sum() for kind in kinds])
    moments = np.where(together, 1 - 1 / size[:, None], 1.0) + np.eye(images)
    second = np.einsum("ri,sj,rs,ij->", values, values, drawn, moments) / (readers * images) ** 2
    return second - values.mean() ** 2


def test_the_pooled_spread_is_that_of_drawing_readers_and_images(rng):
    synthetic, real = (rng.choice([-4, -1, 2, 5], (3, 20)) for _ in range(2))
    right = np.concatenate([synthetic > 0, real < 0], 1).astype(float)
    found = pooled_accuracy(synthetic, real, 0.95, 0)
    variance = bootstrap_variance(right, np.repeat([0, 1], 20))
    of_readers = right.mean(1).var(ddof=1) / 3
    of_images = sum(part.mean(0).var() / 20 for part in (right[:, :20], right[:, 20:])) / 4
    freedom = (of_readers + of_images) ** 2 / (of_readers**2 / 2 + of_images**2 / 38)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert found.rate.value == pytest.approx(right.mean())
    assert found.rate.high - found.rate.value == pytest.approx(half, rel=0.06)
    distance = abs(right.mean() - 0.5) / math.sqrt(variance)
    assert found.p_guessing == pytest.approx(2 * stats.t.sf(distance, freedom), rel=0.08)
    power = stats.t.ppf(0.8, freedom) * math.sqrt(variance)
    assert found.detectable == pytest.approx(half + power, rel=0.06)


def test_the_pooled_area_is_the_mean_of_the_readers(rng):
    synthetic, real = rng.integers(1, 6, (4, 15)), rng.integers(-5, 4, (4, 17))
    found = pooled_area(synthetic, real, 0.95, 0)
    values = [area(one, other, 0.95).value for one, other in zip(synthetic, real, strict=True)]
    assert found.rate.value == pytest.approx(np.mean(values))
    assert found.rate.low <= found.rate.value <= found.rate.high
    assert pooled_area(synthetic, real, 0.95, 0) == found


def test_readers_who_are_all_right_have_no_spread():
    found = pooled_accuracy(np.full((2, 9), 5), np.full((2, 9), -5), 0.95, 0)
    assert (found.rate.value, found.p_guessing) == (1, 0)
