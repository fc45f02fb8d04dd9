from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from mammogan.config import DataConfig
from mammogan.data import split
from mammogan.data.cbis_ddsm import read_cases, wanted_images
from mammogan.data.patient_name import canonical
from mammogan.data.summary import Counts, Leak

FIRST_TEST_PATIENTS = ["P_00007", "P_00012", "P_00013", "P_00020", "P_00028"]
TRAIN_BESIDE_VALIDATION, VALIDATION = (468, 337, 390), (103, 61, 77)
"""Benign and malignant images, and patients, of calc-train by patient with validation_fraction 0.15."""


def table(patients):
    """A frame from (benign, malignant) counts of each patient."""
    rows = [
        {"patient_id": f"P{number}", "label": label}
        for number, counts in enumerate(patients)
        for label in (0, 1)
        for _ in range(counts[label])
    ]
    return pd.DataFrame(rows).assign(image_id=[f"I{number:04d}" for number in range(len(rows))], split="")


@pytest.fixture(scope="module")
def calc_train(shared):
    wanted, _ = wanted_images(read_cases(str(shared / "data/cbis_ddsm/csv"), "calc-train"), "full")
    return pd.DataFrame([vars(image) for image in wanted])


def test_the_papers_split_by_image_and_its_leak(calc_train):
    frame = calc_train.assign(split=split.assign(calc_train, DataConfig(split="image")))
    sides = split.describe(frame, given=False)
    assert replace(sides.train, patients=0) == Counts(images=981, benign=574, malignant=407, patients=0)
    assert replace(sides.test, patients=0) == Counts(images=246, benign=144, malignant=102, patients=0)
    shared_patients = set(frame.patient_id[frame.split == "train"]) & set(frame.patient_id[frame.split == "test"])
    assert sides.leak.patients == len(shared_patients) > 0
    assert sides.leak.test_images == sum(frame.patient_id[frame.split == "test"].isin(shared_patients))


def test_the_split_by_image_is_scikit_learns(calc_train):
    ordered = calc_train.sort_values("image_id")
    oracle = StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=3)
    _, test = next(oracle.split(ordered, ordered["label"]))
    ours = split.assign(ordered, DataConfig(split="image", split_seed=3))
    assert set(ordered.image_id[ours == "test"]) == set(ordered.image_id.iloc[test])


@pytest.mark.parametrize("seed", range(5))
def test_the_split_by_patient_has_no_leak_and_about_the_share(calc_train, seed):
    """602 patients: their share in test has a standard deviation of 0.016, their images' of about 0.02."""
    frame = calc_train.assign(split=split.assign(calc_train, DataConfig(split="patient", split_seed=seed)))
    sides = split.describe(frame, given=False)
    assert sides.leak == Leak(patients=0, test_images=0)
    assert abs(sides.test.patients / 602 - 0.2) < 4 * 0.016
    for test, whole in ((sides.test.benign, 718), (sides.test.malignant, 509)):
        assert abs(test / whole - 0.2) < 0.1


def test_nobody_moves_when_others_come_or_leave(calc_train, rng):
    config = DataConfig(split="patient")
    whole = split.assign(calc_train, config)
    patients = calc_train["patient_id"].unique()
    for share in (0.02, 0.5, 0.9):
        gone = rng.choice(patients, round(share * len(patients)), replace=False)
        left = calc_train[~calc_train["patient_id"].isin(gone)]
        assert split.assign(left, config).equals(whole[left.index])
    alone = calc_train[calc_train["patient_id"] != patients[0]]
    assert split.assign(alone, config).equals(whole[alone.index])
    more = split.assign(calc_train, DataConfig(split="patient", test_fraction=0.3))
    assert (more[whole == "test"] == "test").all()


def test_nobody_moves_when_another_spelling_of_an_id_comes_first(calc_train):
    """One spelling stands for all of a patient's images; which one, a new row may change."""
    config = DataConfig(split="patient", validation_fraction=0.15)
    whole, ids = split.assign(calc_train, config), calc_train["patient_id"]
    for spelt in (ids.str.lower(), "  " + ids.str.replace("P", "\uff30"), ids.str.replace("1", "\uff11")):
        assert split.assign(calc_train.assign(patient_id=spelt), config).equals(whole)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("P 1", "p  1", True), ("P 1", "P\u00a01", True), ("12", "\uff11\uff12.0", True), ("\u00e9", "E\u0301", True),
        ("12", "12.5", False), ("7", "007", False), ("P 1", "P1", False),
    ],
)  # fmt: skip
def test_what_is_one_patient(one, other, same):
    assert (canonical(one) == canonical(other)) is same


def test_patients_stay_where_they_have_been_since_the_first_version(calc_train):
    """Another salt, hash or number would move test patients into train."""
    frame = calc_train.assign(split=split.assign(calc_train, DataConfig(split="patient")))
    test = sorted(frame.patient_id[frame.split == "test"].unique())
    assert test[:5] == FIRST_TEST_PATIENTS
    sides = split.describe(frame, given=False)
    assert (sides.train.benign, sides.train.malignant) == (571, 398)
    assert (sides.test.benign, sides.test.malignant) == (147, 111)


def test_validation_is_the_next_interval_of_the_same_numbers(calc_train):
    """Nobody leaves test for it, and it grows without letting go of anybody."""
    before = split.assign(calc_train, DataConfig())
    small, large = (split.assign(calc_train, DataConfig(validation_fraction=share)) for share in (0.1, 0.15))
    for roles in (small, large):
        assert ((roles == "test") == (before == "test")).all()
    assert set(small[large == "train"]) == {"train"}
    assert set(large[small == "validation"]) == {"validation"}
    sides = split.describe(calc_train.assign(split=large), given=False)
    assert sides.leak == Leak(0, 0)
    assert (sides.train.benign, sides.train.malignant, sides.train.patients) == TRAIN_BESIDE_VALIDATION
    assert (sides.validation.benign, sides.validation.malignant, sides.validation.patients) == VALIDATION
    wider = split.assign(calc_train, DataConfig(test_fraction=0.35))
    assert (wider[large == "validation"] == "test").all()


def test_the_official_validation_patients_come_out_of_the_train_subsets(shared):
    wanted, _ = wanted_images(read_cases(str(shared / "data/cbis_ddsm/csv"), "mass-train+mass-test"), "full")
    frame = pd.DataFrame([vars(image) for image in wanted])
    official = split.assign(frame, DataConfig(split="official", validation_fraction=0.15))
    assert set(official[frame.subset == "mass-test"]) == {"test"}
    train = frame.subset == "mass-train"
    assert set(official[train]) == {"train", "validation"}
    by_patient = split.assign(frame, DataConfig(validation_fraction=0.15))
    assert (official[train & (by_patient == "validation")] == "validation").all()
    assert (by_patient[official == "validation"] == "validation").all()
    found = split.describe(frame.assign(split=official), given=False)
    assert found.leak == Leak(0, 0)
    assert abs(found.validation.patients / frame[train].patient_id.nunique() - 0.15) < 0.05


@pytest.mark.parametrize("label", [0, 1])
def test_validation_without_a_class_is_refused(label):
    """Patients of one class alone have numbers in the interval."""
    names = [f"P{number}" for number in range(200)]
    inside = [0.2 <= split._number(name, 0) < 0.3 for name in names]
    labels = [label if there else number % 2 for number, there in enumerate(inside)]
    frame = pd.DataFrame({"patient_id": names, "label": labels, "image_id": names, "split": ""})
    kind = ("malignant", "benign")[label]
    with pytest.raises(ValueError, match=rf"the validation split would have no {kind} image of \d+; give more") as told:
        split.assign(frame, DataConfig(validation_fraction=0.1))
    assert "data.validation_fraction (0, with train.patience=0, does without" in str(told.value)
    assert set(split.assign(frame, DataConfig())) == {"train", "test"}


def test_a_validation_that_was_asked_for_and_has_nobody_is_refused():
    names = [name for name in (f"P{number}" for number in range(80)) if not 0.2 <= split._number(name, 0) < 0.3]
    frame = table([(1, 1)] * len(names))
    frame["patient_id"] = frame["patient_id"].map(dict(zip(frame["patient_id"].unique(), names, strict=True)))
    with pytest.raises(ValueError, match=rf"the validation split would have no benign image of {len(names)}; give"):
        split.assign(frame, DataConfig(validation_fraction=0.1))


@pytest.mark.parametrize("roles", [("train", "test", "validation"), ("train", "test")])
def test_a_manifests_own_validation_needs_both_classes_where_it_has_any(roles):
    frame = table([(1, 1)] * 3).assign(split=[role for role in ("train", "test", roles[-1]) for _ in range(2)])
    assert split.assign(frame, DataConfig()).equals(frame["split"])
    one = frame[(frame["split"] != "validation") | (frame["label"] == 0)]
    if roles[-1] == "validation":
        with pytest.raises(ValueError, match="column split: the validation split would have no malignant image of 2; "):
            split.assign(one, DataConfig())


def test_images_that_are_not_held_out_are_counted():
    roles = {
        "A": "train validation validation", "B": "test test validation", "C": "train test validation",
        "D": "validation", "E": "test", "F": "train test",
    }  # fmt: skip
    rows = [(patient, role) for patient, words in roles.items() for role in words.split()]
    found = split.leak(pd.DataFrame(rows, columns=["patient_id", "split"]))
    assert found == Leak(patients=2, test_images=2, validation_patients=2, validation_images=3, chosen_by=2)


def test_seeds_give_different_patients(calc_train):
    first, second = (split.assign(calc_train, DataConfig(split="patient", split_seed=seed)) for seed in (0, 1))
    assert 0.1 < np.mean(first != second) < 0.5


@pytest.mark.parametrize("unit", ["image", "patient"])
def test_the_order_of_rows_does_not_matter(calc_train, unit):
    config = DataConfig(split=unit)
    shuffled = calc_train.sample(frac=1, random_state=1)
    assert split.assign(shuffled, config).sort_index().equals(split.assign(calc_train, config).sort_index())


def test_the_test_patients_are_spread_over_the_data(calc_train):
    chosen = split.assign(calc_train, DataConfig(split="patient")) == "test"
    rank = calc_train["patient_id"].rank(pct=True)
    assert abs(rank[chosen].mean() - 0.5) < 0.1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any), min_size=1, max_size=9),
    st.sampled_from([0.2, 0.3, 0.5]),
    st.integers(0, 3),
)
def test_both_sides_have_every_class_or_it_is_refused(patients, fraction, seed):
    frame = table(patients)
    config = DataConfig(split="patient", test_fraction=fraction, split_seed=seed)
    refusal = r"data\.split='patient': the (train|test) split would have no (benign|malignant) image of \d+; give"
    try:
        frame["split"] = split.assign(frame, config)
    except ValueError:
        with pytest.raises(ValueError, match=refusal):
            split.assign(frame, config)
        return
    assert split.leak(frame).patients == 0
    for label in frame["label"].unique():
        assert set(frame.split[frame.label == label]) == {"train", "test"}


def test_too_few_images_to_stratify():
    with pytest.raises(ValueError, match="3 benign and 1 malignant images"):
        split.assign(table([(3, 1)]), DataConfig(split="image"))


def test_the_official_split_takes_the_published_test_sets(shared):
    wanted, _ = wanted_images(read_cases(str(shared / "data/cbis_ddsm/csv"), "mass-train+mass-test"), "full")
    frame = pd.DataFrame([vars(image) for image in wanted])
    found = split.assign(frame, DataConfig(split="official"))
    assert set(found[frame.subset == "mass-train"]) == {"train"}
    assert set(found[frame.subset == "mass-test"]) == {"test"}
    assert split.leak(frame.assign(split=found)) == Leak(patients=0, test_images=0)


@pytest.mark.parametrize("subsets", [["mass-train"] * 4, ["mass-test"] * 4, [""] * 4])
def test_the_official_split_needs_both_sides(subsets):
    frame = table([(1, 1), (1, 1)]).assign(subset=subsets)
    with pytest.raises(ValueError, match=r"data\.split='official': the images are of"):
        split.assign(frame, DataConfig(split="official"))


@pytest.mark.parametrize(
    ("subsets", "named"),
    [(["Zebrafink Hildegard"] * 4, "of 1 that are not CBIS-DDSM's;"), ([""] * 4, "of no subset;"),
     (["mass-train", "mass-train", "x", "y"], "of mass-train and 2 that are not CBIS-DDSM's;")],
)  # fmt: skip
def test_a_column_of_the_sources_own_is_not_quoted(subsets, named):
    """It may name a patient, and the message reaches MLflow."""
    with pytest.raises(ValueError, match=r"data\.split='official'") as refused:
        split._test_subsets(pd.Series(subsets))
    assert named in str(refused.value)
    assert "Zebrafink" not in str(refused.value)
