"""A subgroup against the others: by hand on small sets, and over draws of known truth."""

import numpy as np
import pytest

from mammogan.metrics import kid, prdc, subgroups
from mammogan.metrics.subgroups import contrast, coverage_scores, kernel_scores, kernel_value, share

PATIENTS = np.repeat(np.arange(24), 2)


def drawn(rng, patients=PATIENTS, shift=0.0, fakes=120, missing=0.0, kept=0.0):
    """Features of reals, a quarter of whose patients stand ``shift`` apart, of fakes, and who is in the subgroup.

    ``missing`` of the subgroup's share is not made by the generator; ``kept`` is the part that twins share.
    """
    count = int(patients.max()) + 1
    member = np.arange(count) % 4 == 0
    both = rng.normal(size=(count, 4))[patients] * np.sqrt(kept) + rng.normal(size=(len(patients), 4)) * np.sqrt(
        1 - kept
    )
    real = both + shift * member[patients][:, None]
    made = rng.random(fakes) < 0.25 * (1 - missing)
    return real, rng.normal(size=(fakes, 4)) + shift * made[:, None], member[patients]


def by_hand(real, fake, way, patients, image):
    """Covered by fakes, by reals, recalled by fakes, by reals: as the module's docstring says it."""
    asked = [i for i in range(len(real)) if way.asked[i]]
    drawn_fakes = [fake[j] for j in way.fakes[: len(way.others)]]
    others = [real[j] for j in way.others]
    apart = sorted(np.linalg.norm(real[image] - real[j]) for j in asked if patients[j] != patients[image])

    def reach(one, those):
        return sorted(np.linalg.norm(one - other) for other in those if other is not one)[prdc.K - 1]

    def near(those):
        return any(np.linalg.norm(real[image] - other) < apart[prdc.K - 1] for other in those)

    def inside(those):
        return any(np.linalg.norm(real[image] - other) < reach(other, those) for other in those)

    return near(drawn_fakes), near(others), inside(drawn_fakes), inside(others)


def test_coverage_and_recall_are_those_of_the_definition_written_out():
    real, fake, _ = drawn(np.random.default_rng(0), shift=1.0, kept=0.95)
    coverage, recall = coverage_scores(real, fake, PATIENTS, seed=3)
    ways = subgroups._ways(PATIENTS, len(fake), 3)
    for image in (0, 7, 20, 33):
        asked = [by_hand(real, fake, way, PATIENTS, image) for way in ways if way.asked[image]]
        means = np.mean(asked, axis=0)
        found = coverage.fake[0, image], coverage.real[0, image], recall.fake[0, image], recall.real[0, image]
        np.testing.assert_allclose(found, means)
    for way in ways:
        assert len(set(PATIENTS[way.others])) == len(way.others) == 12
        assert not set(PATIENTS[way.others]) & set(PATIENTS[way.asked])


def test_kid_of_a_subgroup_is_kid_and_its_reference_leaves_out_the_patients_own_images():
    real, fake, members = drawn(np.random.default_rng(1), shift=1.0, kept=0.9)
    found = kernel_value(real, fake, PATIENTS, members, 0.95)
    assert found.value == kid.kernel_estimate(real[members], fake, 0.95, PATIENTS[members])
    k = kid.cubic(real, real)
    inside = np.flatnonzero(members)
    own = np.mean([k[i, j] for i in inside for j in inside if PATIENTS[i] != PATIENTS[j]])
    all_pairs = np.mean([k[i, j] for i in range(48) for j in range(48) if PATIENTS[i] != PATIENTS[j]])
    across = np.mean([k[i, j] for i in inside for j in range(48) if PATIENTS[i] != PATIENTS[j]])
    assert found.reference == pytest.approx(own + all_pairs - 2 * across)


def test_the_difference_of_kid_is_what_the_two_values_differ_by_beyond_their_references():
    patients = np.repeat(np.arange(80), 2)
    real, fake, members = drawn(np.random.default_rng(2), patients, shift=2.0, fakes=400, missing=1.0)
    found = contrast(kernel_scores(real, fake, patients), members, patients, 0.95)
    excess = [
        value.value.value - value.reference
        for value in (kernel_value(real, fake, patients, side, 0.95) for side in (members, ~members))
    ]
    assert found.difference.value == pytest.approx(excess[0] - excess[1])
    assert found.difference.low > 0  # the generator makes none of them
    assert found.above < 0.025 < 0.975 < found.below


@pytest.mark.parametrize("scores", [lambda *sets: coverage_scores(*sets, 0)[0], kernel_scores])
def test_a_subgroup_and_the_others_are_mirrors(scores):
    real, fake, members = drawn(np.random.default_rng(3), shift=2.0, missing=0.5)
    made = scores(real, fake, PATIENTS)
    one, other = (contrast(made, side, PATIENTS, 0.95) for side in (members, ~members))
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert (one.below, one.above) == pytest.approx((other.above, other.below))


def test_a_block_that_is_left_out_is_left_out_everywhere():
    real, fake, _ = drawn(np.random.default_rng(4), shift=1.0)
    coverage, _ = coverage_scores(real, fake, PATIENTS, 0)
    distance = kernel_scores(real, fake, PATIENTS)
    for scores in (coverage, distance):
        assert scores.fake.shape == scores.real.shape == (1 + 20 + 20, 48)
        for number in range(20):
            gone = np.isin(PATIENTS % 20, number)
            assert np.isnan(scores.fake[1 + number, gone]).all()
            assert np.isnan(scores.real[1 + number, gone]).all()
    left = PATIENTS % 20 != 3
    alone = kernel_scores(real[left], fake, PATIENTS[left])
    np.testing.assert_allclose(distance.real[4, left], alone.real[0])
    part = np.arange(120) % 20 != 5
    np.testing.assert_allclose(distance.fake[1 + 20 + 5], kernel_scores(real, fake[part], PATIENTS).fake[0])


def test_too_few_patients_are_refused():
    real, fake, _ = drawn(np.random.default_rng(5))
    with pytest.raises(ValueError, match="patients=13: two halves with their neighbours need at least 14"):
        coverage_scores(real[:26], fake, PATIENTS[:26], 0)


def test_twins_of_a_patient_are_no_fault_of_the_generator():
    """Without a fault the mean of D is 0, however alike the images of a patient and however tight the subgroup."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng([7, seed])
        real, fake, members = drawn(rng, kept=0.95)
        made = rng.random(len(fake)) < 0.25
        real[members] *= 0.3
        fake[made] *= 0.3
        scores = coverage_scores(real, fake, PATIENTS, seed)
        found.append([contrast(each, members, PATIENTS, 0.95).difference.value for each in scores])
    means, errors = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(means) < 3 * errors + 0.01).all(), (means, errors)


def test_a_subgroup_that_the_generator_lacks_is_found_and_its_share_stays_in_its_range():
    real, fake, members = drawn(np.random.default_rng(8), np.repeat(np.arange(60), 2), shift=4.0, missing=1.0)
    patients = np.repeat(np.arange(60), 2)
    coverage, _ = coverage_scores(real, fake, patients, 0)
    assert contrast(coverage, members, patients, 0.95).below < 0.001
    value, reference = share(coverage, members, patients, 0.95)
    assert 0 <= value.low <= value.value <= value.high < 0.5 < reference <= 1
