import numpy as np
import pytest

from mammogan.metrics import prdc
from mammogan.metrics.prdc import NAMES, K, distances, neighbourhood_estimates, neighbourhoods


def naive(real, fake):
    """The definitions, one pair at a time."""

    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[K - 1]

    def holds(points, i, other):
        distance = np.linalg.norm(points[i] - other)
        return distance < radius(points, i) or distance == 0

    around = [[holds(real, i, y) for i in range(len(real))] for y in fake]
    return [
        np.mean([any(row) for row in around]),
        np.mean([any(holds(fake, j, x) for j in range(len(fake))) for x in real]),
        np.mean([sum(row) for row in around]) / K,
        np.mean([any(row[i] for row in around) for i in range(len(real))]),
    ]


@pytest.mark.parametrize(("n", "m", "shift"), [(20, 30, 0.0), (31, 12, 0.8), (10, 10, 3.0), (7, 9, 0.1)])
def test_agrees_with_the_definitions(rng, n, m, shift):
    real, fake = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) * 0.7 + shift
    assert neighbourhoods(distances(real, fake)) == pytest.approx(naive(real, fake))


def test_far_fakes_score_zero_and_copies_are_covered(rng):
    real = rng.normal(size=(30, 4))
    assert neighbourhoods(distances(real, real + 100)).tolist() == [0, 0, 0, 0]
    precision, recall, _, coverage = neighbourhoods(distances(real, real))
    assert (precision, recall, coverage) == (1, 1, 1)


@pytest.mark.parametrize("dims", [1, 2048])
def test_images_that_stand_there_more_than_five_times_are_in_their_own_ball(rng, dims):
    """Of a set that is one constant image, and of a collapsed generator's, each ball has radius 0."""
    constant = np.repeat(rng.normal(size=(1, dims)) * 1e3, 30, axis=0)
    assert neighbourhoods(distances(constant, constant[:10])).tolist()[:2] == [1, 1]
    assert neighbourhoods(distances(constant, constant))[3] == 1
    assert neighbourhoods(distances(constant, constant + 1)).tolist() == [0, 0, 0, 0]
    mixed = np.concatenate([np.repeat(rng.normal(size=(4, dims)), 10, axis=0), rng.normal(size=(10, dims)) + 9])
    precision, recall, _, coverage = neighbourhoods(distances(mixed, mixed[::-1]))
    assert (precision, recall, coverage) == (1, 1, 1)
    assert neighbourhoods(distances(mixed, mixed)) == pytest.approx(naive(mixed, mixed))


def test_mode_dropping_lowers_recall_and_coverage_and_not_precision(rng):
    real = np.concatenate([rng.normal(size=(60, 4)), rng.normal(size=(60, 4)) + 20])
    fake = rng.normal(size=(120, 4))
    precision, recall, _, coverage = neighbourhoods(distances(real, fake))
    assert precision > 0.9
    assert recall < 0.55
    assert coverage < 0.55


def test_intervals_surround_the_values_and_seven_images_are_the_fewest(rng):
    real, fake = rng.normal(size=(40, 3)), rng.normal(size=(50, 3)) + 0.5
    estimates = neighbourhood_estimates(real, fake, 0.95, seed=0)
    assert tuple(estimates) == NAMES
    assert [estimate.value for estimate in estimates.values()] == pytest.approx(neighbourhoods(distances(real, fake)))
    assert all(estimate.low < estimate.value < estimate.high for estimate in estimates.values())
    assert neighbourhood_estimates(real[:7], fake[:7], 0.95, seed=0)
    with pytest.raises(ValueError, match="fake has 6 images: 5 neighbours need at least 7"):
        neighbourhood_estimates(real, fake[:6], 0.95, seed=0)


def test_halves_hold_whole_patients(rng):
    patients = rng.permutation(np.repeat(np.arange(30), 4))
    for _ in range(20):
        half = prdc._half(patients, rng)
        assert len(half) == 60
        assert all((patients[half] == patient).sum() == 4 for patient in set(patients[half]))
    assert len(prdc._half(np.array([0] * 5 + [1] * 5 + [2]), rng)) > K  # neighbours come before halves
    real, fake = rng.normal(size=(120, 3)), rng.normal(size=(60, 3)) + 0.5
    found = [neighbourhood_estimates(real, fake, 0.95, 0, whose) for whose in (patients, None, np.arange(120))]
    assert found[1] == found[2] != found[0]
    one = neighbourhood_estimates(real, fake, 0.95, 0, np.zeros(120, dtype=int))
    assert all(0 <= each.low <= each.value <= each.high for each in one.values())


@pytest.mark.parametrize("shift", [0.0, 0.5, 4.0, 100.0])
def test_intervals_stay_in_their_range_and_are_never_a_point(rng, shift):
    real = rng.normal(size=(30, 3))
    for fake in (real + shift, rng.normal(size=(25, 3)) + shift):
        for name, (value, low, high) in neighbourhood_estimates(real, fake, 0.95, seed=0).items():
            assert 0 <= low <= value <= high
            assert low < high
            assert high <= 1 or name == "density"


@pytest.mark.parametrize(("n", "m", "dims", "shift"), [(60, 80, 4, 0.7), (100, 200, 16, 0.2)])
def test_intervals_hold_the_expectation_about_as_often_as_they_say(rng, n, m, dims, shift):
    """Nine in ten at least, and no wider than need be. The truth is the mean of many other draws."""

    def draw():
        return rng.normal(size=(n, dims)), rng.normal(shift, 0.9, size=(m, dims))

    others = np.array([neighbourhoods(distances(*draw())) for _ in range(400)])
    repetitions = [neighbourhood_estimates(*draw(), 0.95, seed=draws) for draws in range(100)]
    for number, name in enumerate(NAMES):
        ends = np.array([estimates[name][1:] for estimates in repetitions])
        truth, error = others[:, number].mean(), others[:, number].std()
        assert np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) >= 0.89
        if name == "density" or truth < 0.98:  # nearer to 1, a score interval is as wide as few images make it
            assert np.mean(ends[:, 1] - ends[:, 0]) / (2 * 1.96 * error) < 1.6
