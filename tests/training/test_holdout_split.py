import pytest

from mammogan.training.holdout_split import holdout_split


def test_nothing_is_held_out_at_zero():
    kept, held_out = holdout_split(5, 0.0)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    assert held_out.tolist() == []


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_the_two_sides_share_no_image_and_no_patient(fraction):
    patients = [f"P{index // 3}" for index in range(100)]
    kept, held_out = holdout_split(100, fraction, patients)
    assert sorted(kept.tolist() + held_out.tolist()) == list(range(100))
    assert not {patients[index] for index in kept} & {patients[index] for index in held_out}
    assert 100 * fraction <= len(held_out) < 100 * fraction + 3


def test_the_choice_is_random_among_patients_and_always_the_same():
    first, again = holdout_split(1000, 0.2)[1], holdout_split(1000, 0.2)[1]
    assert first.tolist() == again.tolist()
    assert 350 < first.float().mean() < 650


def test_what_patients_are_called_decides_nothing():
    patients = [f"P{index // 3}" for index in range(100)]
    renamed = [f"{name[::-1]} {len(name)}" for name in patients]
    assert holdout_split(100, 0.3, renamed)[1].tolist() == holdout_split(100, 0.3, patients)[1].tolist()


def test_without_patients_the_fraction_is_met_to_the_image():
    assert len(holdout_split(40, 0.25)[1]) == 10
    assert len(holdout_split(5, 0.01)[1]) == 2  # fewer could not be compared


@pytest.mark.parametrize(
    ("count", "fraction", "patients", "message"),
    [
        (3, 0.5, None, r"train\.validation_fraction=0\.5: of 3 images it leaves 1"),
        (9, 0.9, None, "it leaves 1 to train on; give less"),
        (2, 0.01, None, "it leaves 0 to train on; no share leaves 2 on either side, so give 0, or more images"),
        (9, 0.2, ["P"] * 9, "it leaves 0 to train on; no share leaves 2 on either side"),
        (3, 0.2, ["P"], "patients=1 names: give one for each of the 3 images"),
    ],
)
def test_what_cannot_be_held_out_is_reported(count, fraction, patients, message):
    with pytest.raises(ValueError, match=message):
        holdout_split(count, fraction, patients)
