import itertools
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
from mammogan.data.summary import Counts, Leak


def table(patients):
    """A frame from (benign, malignant) counts of each patient."""
    rows = [
        {"patient_id": f"P{number}", "label": label}
        for number, counts in enumerate(patients)
        for label in (0, 1)
        for _ in range(counts[label])
    ]
    return pd.DataFrame(rows).assign(image_id=[f"I{number:04d}" for number in range(len(rows))])


@pytest.fixture(scope="module")
def calc_train(shared):
    wanted, _ = wanted_images(read_cases(str(shared / "data/cbis_ddsm/csv"), "calc-train"), "full")
    return pd.DataFrame([vars(image) for image in wanted])


def test_the_papers_split_by_image_and_its_leak(calc_train):
    frame = calc_train.assign(split=split.assign(calc_train, DataConfig(split="image")))
    sides = split.describe(frame)
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
def test_the_split_by_patient_reaches_the_same_counts_without_leak(calc_train, seed):
    frame = calc_train.assign(split=split.assign(calc_train, DataConfig(split="patient", split_seed=seed)))
    sides = split.describe(frame)
    assert (sides.test.benign, sides.test.malignant) == (144, 102)
    assert sides.leak == Leak(patients=0, test_images=0)


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


def miss(test, total, fraction):
    return sum(abs(test[c] - fraction * total[c]) / max(total[c], 1) for c in (0, 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any), min_size=3, max_size=9),
    st.sampled_from([0.2, 0.3, 0.5]),
    st.integers(0, 3),
)
def test_no_choice_of_patients_is_closer(patients, fraction, seed):
    total = np.sum(patients, axis=0)
    sums = [np.sum(c, axis=0) for n in range(1, len(patients) + 1) for c in itertools.combinations(patients, n)]
    allowed = [s for s in sums if all(s[c] < total[c] or total[c] == 0 for c in (0, 1))]
    both = [s for s in allowed if all(s[c] > 0 or total[c] == 0 for c in (0, 1))] or allowed
    frame = table(patients)
    config = DataConfig(split="patient", test_fraction=fraction, split_seed=seed)
    if not allowed:
        with pytest.raises(ValueError, match="give more patients"):
            split.assign(frame, config)
        return
    frame["split"] = split.assign(frame, config)
    assert split.leak(frame).patients == 0
    test = frame[frame["split"] == "test"]
    counts = [sum(test["label"] == c) for c in (0, 1)]
    best = min(miss(s, total, fraction) for s in both)
    rounding = sum(0.5 / max(total[c], 1) for c in (0, 1))
    assert miss(counts, total, fraction) <= max(best, 0) + rounding + 1e-9
    assert all((test["label"] == c).any() == any(s[c] for s in both) or total[c] == 0 for c in (0, 1))


def test_two_patients_keep_both_classes_in_train():
    frame = table([(4, 0), (2, 2)])
    frame["split"] = split.assign(frame, DataConfig(split="patient"))
    assert set(frame.label[frame.split == "train"]) == {0, 1}
    assert split.missing_classes(frame) == ["no malignant image in the test split"]


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
