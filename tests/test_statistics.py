import numpy as np
import pytest
from scipy import special, stats

from mammogan import statistics


def test_the_jackknife_of_a_mean_is_its_standard_error_and_student_t(rng):
    sample = rng.normal(size=25)
    without = (sample.sum() - sample) / 24
    part = statistics.jackknife(sample.mean(), without)
    assert part.variance == pytest.approx(sample.var(ddof=1) / 25)
    estimate = statistics.combine(sample.mean(), [part], 0.9)
    expected = stats.t.interval(0.9, 24, loc=sample.mean(), scale=stats.sem(sample))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_two_samples_get_welchs_degrees_of_freedom(rng):
    x, y = rng.normal(size=9), rng.normal(scale=3, size=14)
    parts = [statistics.jackknife(s.mean(), (s.sum() - s) / (len(s) - 1)) for s in (x, y)]
    low, high = statistics.combine(x.mean() - y.mean(), parts, 0.95)[1:]
    expected = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_parts_that_fall_short_are_raised_alike():
    parts = [statistics.Variance(1.0, 4), statistics.Variance(3.0, 60)]
    raised = statistics.at_least(parts, 8.0)
    assert raised == [statistics.Variance(2.0, 4), statistics.Variance(6.0, 60)]
    assert statistics.total_variance(raised) == pytest.approx((8, statistics.total_variance(parts)[1]))
    assert statistics.at_least(parts, 0.5) == parts
    assert statistics.at_least([statistics.Variance(0.0, 4)], 2.0) == [statistics.Variance(2.0, 4)]


def test_blocks_of_different_size_estimate_the_variance_of_the_mean(rng):
    ratios = []
    for _ in range(400):
        sample = rng.normal(size=70)
        blocks = statistics.blocks_of(70, 30)
        without = np.array([np.delete(sample, block).mean() for block in blocks])
        sizes = np.array([len(block) for block in blocks])
        ratios.append(statistics.jackknife(sample.mean(), without, sizes).variance * 70)
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("count", "most"), [(2, 5), (7, 100), (7, 20), (8, 27), (9, 4), (200, 400)])
def test_pairs_within_are_distinct_balanced_and_as_many_as_allowed(count, most):
    left, right = statistics.pairs_within(count, most, seed=3)
    pairs = {frozenset(pair) for pair in zip(left.tolist(), right.tolist(), strict=True)}
    assert len(pairs) == len(left) == min(most, count * (count - 1) // 2)
    assert all(len(pair) == 2 for pair in pairs)
    uses = np.bincount(np.concatenate([left, right]), minlength=count)
    assert uses.max() - uses.min() <= 2


@pytest.mark.parametrize(
    ("n", "m", "most"), [(1, 1, 9), (4, 6, 100), (4, 6, 13), (5, 5, 25), (5, 5, 11), (60, 200, 400)]
)
def test_pairs_between_are_distinct_balanced_and_as_many_as_allowed(n, m, most):
    left, right = statistics.pairs_between(n, m, most, seed=3)
    assert len(set(zip(left.tolist(), right.tolist(), strict=True))) == len(left) == min(most, n * m)
    for side, count in ((left, n), (right, m)):
        uses = np.bincount(side, minlength=count)
        assert uses.max() - uses.min() <= 1


def test_pair_seeds_differ():
    assert (statistics.pairs_within(50, 60, 0)[0] != statistics.pairs_within(50, 60, 1)[0]).any()


@pytest.mark.parametrize("most", [60, 400, 10**6])
@pytest.mark.parametrize("one_sample", [True, False])
def test_pair_means_hold_the_truth_as_often_as_they_say(rng, most, one_sample):
    """d(i, j) = a_i + b_j + r_ij with mean 0: all three parts of the variance matter."""
    held = []
    for draw in range(500):
        a, b = rng.normal(size=30), rng.uniform(-2, 2, size=40)
        if one_sample:
            left, right = statistics.pairs_within(30, most, draw)
            b = a
        else:
            left, right = statistics.pairs_between(30, 40, most, draw)
        values = a[left] + b[right] + rng.normal(size=len(left))
        _, low, high = statistics.pair_mean(values, left, right, one_sample=one_sample, confidence=0.95)
        held.append(low <= 0 <= high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (3, 20), (17, 20), (20, 20), (250, 1000)])
def test_the_score_interval_is_wilsons(hits, count):
    interval = statistics.score_interval(hits / count, count, 1e9, 0.95)
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-7)


def test_the_score_interval_of_a_mean_count_solves_its_equation():
    value, count = 1.3, 40
    interval = statistics.score_interval(value, count, 1e9, 0.9, most=np.inf)
    for end in (interval.low, interval.high):
        assert abs(value - end) == pytest.approx(stats.norm.ppf(0.95) * np.sqrt(end / count))
    assert statistics.score_interval(0.0, count, 1e9, 0.9, most=np.inf).low == 0


def test_shares_with_their_jackknife_stay_shares(rng):
    shares = rng.random(30) < 0.9
    part = statistics.jackknife(shares.mean(), (shares.sum() - shares) / 29)
    _, low, high = statistics.combine_within(shares.mean(), [part], 0.999, 30)
    assert 0 < low < high < 1
    assert statistics.combine_within(1.0, [statistics.Variance(0.0, 29)], 0.95, 30).low == pytest.approx(
        0.8775, abs=1e-3
    )


def test_a_single_pair_has_no_interval_and_no_pair_is_an_error():
    one = np.array([0])
    assert statistics.pair_mean(np.array([0.5]), one, one, one_sample=False, confidence=0.95) == (0.5, None, None)
    with pytest.raises(ValueError, match="pairs=0"):
        statistics.pair_mean(np.array([]), one[:0], one[:0], one_sample=False, confidence=0.95)
    with pytest.raises(ValueError, match="blocks=1"):
        statistics.jackknife(1.0, np.array([1.0]))


@pytest.mark.parametrize("value", [0.0, 0.01, 0.5, 0.999, 1.0])
def test_ends_stay_where_the_quantity_is(value):
    """Three numbers far apart, of which the interval without bounds leaves [0, 1] on either side."""
    values = np.clip(value + np.array([-0.6, 0.0, 0.6]), 0, 1)
    left, right = np.array([0, 0, 1]), np.array([1, 2, 2])
    free = statistics.pair_mean(values, left, right, one_sample=True, confidence=0.95)
    held = statistics.pair_mean(values, left, right, one_sample=True, confidence=0.95, least=0, most=1)
    assert free.low < 0 or free.high > 1
    assert 0 < held.low < held.value == free.value < held.high < 1
    half = (free.high - free.value) / (free.value * (1 - free.value))
    assert [special.logit(end) - special.logit(free.value) for end in held[1:]] == pytest.approx([-half, half])


def test_a_quantity_from_zero_has_the_interval_of_its_logarithm():
    part = [statistics.Variance(0.09, 1e9)]
    free, held = statistics.combine(0.4, part, 0.95), statistics.combine(0.4, part, 0.95, least=0)
    assert free.low < 0 < held.low
    half = 1.959964 * 0.3 / 0.4
    assert (held.low, held.high) == pytest.approx((0.4 * np.exp(-half), 0.4 * np.exp(half)), rel=1e-5)
    assert statistics.combine(0.0, part, 0.95, least=0, most=1) == (0, 0, pytest.approx(0.588, abs=1e-3))
    assert statistics.combine(1.0, part, 0.95, least=0, most=1) == (1, pytest.approx(0.412, abs=1e-3), 1)
    assert statistics.combine(0.2, [statistics.Variance(0.0, 5)], 0.95, least=0) == pytest.approx((0.2, 0.2, 0.2))


@pytest.mark.parametrize("one_sample", [True, False])
def test_pair_means_over_patients_hold_the_truth_as_often_as_they_say(rng, one_sample):
    """Four images a patient, who differ by more than their images do: left out one by one, they would seem to agree."""
    held = {"patients": [], "images": []}
    for draw in range(400):
        patients = np.repeat(np.arange(12), 4)
        a, b = rng.normal(size=12)[patients] + 0.3 * rng.normal(size=48), rng.normal(size=40)
        left, right = (
            statistics.pairs_within(48, 300, draw) if one_sample else statistics.pairs_between(48, 40, 300, draw)
        )
        values = a[left] + (a if one_sample else b)[right] + rng.normal(size=len(left))
        for name, clusters in (("patients", patients), ("images", None)):
            _, low, high = statistics.pair_mean(
                values, left, right, one_sample=one_sample, confidence=0.95, clusters=clusters
            )
            held[name].append(low <= 0 <= high)
    assert 0.92 <= np.mean(held["patients"]) <= 0.98
    assert np.mean(held["images"]) < 0.9


def test_a_pair_of_one_patients_images_leaves_once():
    """Leaving out patient 0 leaves the pairs (2, 3), patient 1 none: no interval; with a third one by hand."""
    left, right = np.array([0, 0, 2, 3, 1]), np.array([1, 2, 3, 4, 4])
    values, clusters = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([0, 0, 1, 1, 2])
    found = statistics.pair_mean(values, left, right, one_sample=True, confidence=0.95, clusters=clusters)
    without = np.array([values[[2, 3]].mean(), values[[0, 4]].mean(), values[[0, 1, 2]].mean()])
    part = statistics.jackknife(6.2, without)
    excess = values - 6.2
    groups = np.array([excess[0], excess[1], excess[2], excess[3], excess[4]])
    independent = (groups**2).sum() / 25 * 5 / 4
    expected = statistics.combine(6.2, [statistics.Variance(max(part.variance - independent, independent), 2)], 0.95)
    assert found == pytest.approx(expected)


def test_blocks_of_clusters_hold_them_whole():
    clusters = np.array([7, 7, 3, 9, 3, 9, 9, 1])
    blocks = statistics.cluster_blocks(clusters, 3)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(8))
    owners = [set(clusters[block].tolist()) for block in blocks]
    assert len(blocks) == 3
    assert not set.intersection(*owners)
    assert sum(len(owner) for owner in owners) == 4
