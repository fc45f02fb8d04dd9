"""AUC by subgroup of the test images: that of the subgroup's images alone, and nothing of too few patients."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mammogan import codec, results
from mammogan.config import PRESETS, override
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.subgroups import Grouping, Membership
from mammogan.results import Attribute, Subgroup, Unknown, Utility
from mammogan.utility import study
from mammogan.utility.arms import DECIDING
from mammogan.utility.comparison import auc_estimate, difference_estimate
from mammogan.utility.delong import components
from mammogan.utility.held_out import HeldOut
from mammogan.utility.subgroups import ARMS, by_subgroup

PATIENTS = [f"P{number // 2}" for number in range(120)]
LABELS = np.arange(120) // 2 % 2
DENSE = np.arange(120) // 4 % 3 == 0
RARE = np.arange(120) // 2 < 12


def group(value, members):
    named = {patient for patient, member in zip(PATIENTS, members, strict=True) if member}
    return Membership(Subgroup(Attribute.DENSITY, value, int(members.sum()), len(named)), members)


@pytest.fixture
def made():
    """Scores of three blocks, which tell the classes apart but in dense breasts, where synthetic images help."""
    rng = np.random.default_rng(0)
    help_of = dict.fromkeys(ARMS, 0.0) | {arm: 1.5 for arm, _ in DECIDING}
    scores = {name: rng.normal(size=(3, 120)) + LABELS * np.where(DENSE, help_of[name], 1.5) for name in sorted(ARMS)}
    groups = Grouping((group("2", ~DENSE), group("4", DENSE), group("1", RARE)), (Unknown(Attribute.SIDE, 120),))
    return scores, HeldOut(LABELS, PATIENTS, groups)


def test_the_auc_of_a_subgroup_is_that_of_its_images_alone(made):
    scores, test = made
    found = by_subgroup(scores, test, 0.9)
    assert [(item.subgroup.value, item.arm) for item in found.aucs] == [(v, arm) for v in "24" for arm in ARMS]
    for item in found.aucs:
        members = DENSE if item.subgroup.value == "4" else ~DENSE
        by_block = [roc_auc_score(LABELS[members], row[members]) for row in scores[item.arm]]
        assert item.value == pytest.approx(np.mean(by_block))
        assert item.low < item.value < item.high
        part = HeldOut(LABELS[members], [name for name, member in zip(PATIENTS, members, strict=True) if member])
        whole = auc_estimate(components(scores[item.arm][:, members], part), 0.9)
        assert (item.low, item.high) == (whole.low, whole.high)
        assert (item.benign_patients, item.malignant_patients) == (part.patients_of(0), part.patients_of(1))


def test_the_effect_of_a_subgroup_is_paired_by_image_and_block(made):
    scores, test = made
    found = by_subgroup(scores, test, 0.9)
    assert [(item.subgroup.value, item.arm, item.control) for item in found.effects] == [
        (value, *pair) for value in "24" for pair in DECIDING
    ]
    for item in found.effects:
        assert (item.low > 0.1) is (item.subgroup.value == "4")
        assert (item.low < 0 < item.high) is (item.subgroup.value == "2")
        members = DENSE if item.subgroup.value == "4" else ~DENSE
        part = HeldOut(LABELS[members], [name for name, member in zip(PATIENTS, members, strict=True) if member])
        one, other = (components(scores[name][:, members], part) for name in (item.arm, item.control))
        assert item.value == difference_estimate(one - other, 0.9).value


def test_too_few_patients_of_a_class_are_named(made):
    found = by_subgroup(*made, 0.95)
    (omitted,) = found.omitted
    assert omitted.subgroup.value == "1"
    assert omitted.reason == "not done: 6 patients with benign and 6 with malignant images, 10 are needed"
    assert found.unknown == (Unknown(Attribute.SIDE, 120),)


def test_a_study_writes_them_into_its_document(write_dataset, tmp_path):
    folder = write_dataset(tmp_path / "set", {"train": (12, 12), "test": (24, 24)})
    frame = manifest.read(folder)
    frame["density"] = ["3" if number % 2 else "" for number in range(len(frame))]
    manifest.write(frame, folder)
    chosen = override(PRESETS["demo"], {
        "utility.seeds": 2, "utility.steps": 2, "utility.batch_size": 8, "utility.shares": "1", "utility.check_every": 2
    })  # fmt: skip
    fakes = Dataset.read(folder).train.of(1).images()
    found = study(folder, chosen, tmp_path / "out", fakes=fakes, label=1).subgroups
    assert [item.subgroup.name for item in found.effects] == ["density_3"] * 2
    assert {item.subgroup.name: item.reason for item in found.omitted} == dict.fromkeys(
        ("view_cc", "side_left", "abnormality_mass"), "not done: it holds all test images"
    )
    assert results.read(Utility, tmp_path / "out/utility.json").subgroups == found
    assert codec.decode(type(found), codec.encode(found)) == found
