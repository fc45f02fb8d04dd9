"""For whom a generator works: groups out of a manifest's words, what is measured of each, and who is too few."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from mammogan import codec
from mammogan.config import EvaluateConfig
from mammogan.data import manifest
from mammogan.data.dataset import Dataset
from mammogan.data.subgroups import grouping
from mammogan.evaluation.measurement import EvaluationNetworks, ImageSet
from mammogan.evaluation.subgroups import measure_subgroups
from mammogan.features.extractor import Extractor
from mammogan.metrics import subgroups as metrics
from mammogan.results import Attribute, Direction, Finding, Subgroup, SubgroupFidelity, Unknown
from mammogan.statistics import holm, numbered
from mammogan.tracking.tables import subgroups_table


def rows(*described, patients=None):
    """A data set of rows that say only this: dicts of columns."""
    blank = dict.fromkeys(manifest.COLUMNS, "") | {"label": 1, "original_rows": 0, "original_cols": 0}
    names = patients or [f"P{number}" for number in range(len(described))]
    frame = pd.DataFrame([
        blank | {"image_id": f"I{number:03d}", "patient_id": name} | each
        for number, (name, each) in enumerate(zip(names, described, strict=True))
    ])  # fmt: skip
    return Dataset(None, frame)


@pytest.mark.parametrize(
    ("column", "attribute", "values", "unknown"),
    [
        ("view", Attribute.VIEW, {"cc": ["CC", "cc", "R-CC", "LCC", "left cc"], "mlo": ["MLO", "lmlo"], "lmo": ["LMO"]},
         ["", "other", "axial"]),
        ("laterality", Attribute.SIDE, {"left": ["L", "LEFT", "left "], "right": ["R", "Right"]}, ["", "other", "B"]),
        ("density", Attribute.DENSITY, {"1": ["1", "a"], "4": ["4", "4.0"]}, ["", "0", "x"]),
        ("subtlety", Attribute.SUBTLETY, {"5": ["5"], "1": ["1"]}, ["", "6"]),
        ("abnormality", Attribute.ABNORMALITY,
         {"mass": ["mass", "mass 1", "MASS 1+mass 2"], "calcification": ["calcification 3"],
          "calcification+mass": ["calcification+mass", "mass 1+calcification 2"]}, ["", "1", "other"]),
    ],
)  # fmt: skip
def test_subgroups_are_what_the_manifests_words_mean(column, attribute, values, unknown):
    words = [(value, text) for value, texts in values.items() for text in texts] + [("", text) for text in unknown]
    found = grouping(rows(*({column: text} for _, text in words)))
    of_attribute = {each.subgroup.value: each for each in found.memberships}
    assert {each.subgroup.attribute for each in found.memberships} == {attribute}
    assert set(of_attribute) == set(values)
    for value, each in of_attribute.items():
        assert [text for text, member in zip(words, each.members, strict=True) if member] == [
            item for item in words if item[0] == value
        ]
        assert (each.subgroup.images, each.subgroup.patients) == (len(values[value]),) * 2
    assert Unknown(attribute, len(unknown)) in found.unknown
    assert len(found.unknown) == 5


def test_a_subset_of_cbis_ddsm_says_what_its_findings_are():
    found = grouping(rows({"subset": "mass-test"}, {"subset": "calc-test", "abnormality": "1"}, {"subset": "mass"}))
    assert [each.subgroup.value for each in found.memberships] == ["calcification", "mass"]
    assert Unknown(Attribute.ABNORMALITY, 1) in found.unknown


def test_patients_of_a_subgroup_are_counted_once():
    found = grouping(rows(*[{"view": "CC"}] * 4, {"view": "MLO"}, patients=["A", "A", "B", "C", "A"]))
    assert [each.subgroup for each in found.memberships] == [
        Subgroup(Attribute.VIEW, "cc", 4, 3), Subgroup(Attribute.VIEW, "mlo", 1, 1),
    ]  # fmt: skip


def features(images):
    """Two numbers of an image: its brightness, and how it changes from left to right."""
    values = images.float() / 255
    return torch.stack([values.mean(dim=(1, 2, 3)), (values[..., 4:] - values[..., :4]).mean(dim=(1, 2, 3))], dim=1)


@pytest.fixture
def networks():
    return EvaluationNetworks(
        Extractor("toy", "0" * 64, "", features), SimpleNamespace(), torch.device("cpu"), EvaluateConfig(fakes=200)
    )


def study(missing):
    """Sixty patients with two views, every third of dense breasts, whose images are bright, as are a third of the
    fakes or none; three patients with calcifications, and three images of no known side.
    """
    rng = np.random.default_rng(0)
    described, patients, pictures = [], [], []
    for patient in range(60):
        dense = patient % 3 == 0
        for view in ("CC", "MLO"):
            kind = "calcification" if patient < 3 and view == "CC" else "mass"
            side = "" if len(described) < 3 else "LEFT" if patient % 2 else "RIGHT"
            density = "4" if dense else "2"
            described.append({"view": view, "laterality": side, "density": density, "abnormality": kind})
            patients.append(f"P{patient:02d}")
            pictures.append(rng.normal(200 if dense else 60, 12, (1, 8, 8)))
    made = rng.random(200) < (0 if missing else 1 / 3)
    fakes = np.stack([rng.normal(200 if bright else 60, 12, (1, 8, 8)) for bright in made])
    dataset = rows(*described, patients=patients)
    real, fake = (torch.from_numpy(np.clip(each, 0, 255).astype(np.uint8)) for each in (np.stack(pictures), fakes))
    made = ImageSet(real, features(real).double().numpy(), None, numbered(dataset.patients))
    return dataset, made, features(fake).double().numpy()


def test_a_subgroup_that_the_generator_lacks_is_worse_covered_and_no_other_is(networks):
    dataset, real, fakes = study(missing=True)
    found = measure_subgroups(dataset, real, fakes, networks)
    assert [each.name for each in found.worse] == ["density_4"]
    assert [each.quantity.key for each in found.measures[:3]] == [
        "toy/coverage_test", "toy/recall_test", "toy/kid_test",
    ]  # fmt: skip
    assert {each.subgroup.name for each in found.measures} == {
        "view_cc", "view_mlo", "side_left", "side_right", "density_2", "density_4",
    }  # fmt: skip
    by_name = {(each.subgroup.name, each.quantity.metric): each for each in found.measures}
    coverage, kid = by_name["density_4", "coverage"], by_name["density_4", "kid"]
    assert coverage.high < coverage.reference
    assert coverage.difference_high < 0 < kid.difference_low
    assert kid.low > kid.reference
    assert (kid.direction, coverage.direction) == (Direction.LOWER, Direction.HIGHER)
    assert (kid.worse, kid.finding, by_name["density_4", "recall"].finding) == (None, None, None)


def test_a_generator_without_a_fault_serves_all_alike(networks):
    dataset, real, fakes = study(missing=False)
    found = measure_subgroups(dataset, real, fakes, networks)
    assert found.worse == []
    for each in found.measures:
        assert each.low <= each.value <= each.high
        if each.quantity.metric == "coverage":
            assert each.finding is Finding.NO_DIFFERENCE


def test_too_few_patients_are_named_and_no_number_is_made_of_them(networks):
    dataset, real, fakes = study(missing=True)
    found = measure_subgroups(dataset, real, fakes, networks)
    said = {each.subgroup.name: each.reason for each in found.omitted}
    assert said == {
        "abnormality_calcification": "not done: 3 patients, 10 are needed",
        "abnormality_mass": "not done: 3 patients with other images to compare with, 10 are needed",
    }
    assert Unknown(Attribute.SIDE, 3) in found.unknown
    assert Unknown(Attribute.SUBTLETY, 120) in found.unknown


def test_all_coverages_are_one_family(networks):
    dataset, real, fakes = study(missing=True)
    found = measure_subgroups(dataset, real, fakes, networks)
    decided = [each for each in found.measures if each.worse is not None]
    coverage, _ = metrics.coverage_scores(real.features, fakes, real.patients, networks.config.seed)
    members = {each.subgroup: each.members for each in grouping(dataset).memberships}
    raw = [metrics.contrast(coverage, members[each.subgroup], real.patients, 0.95).below for each in decided]
    assert [each.worse for each in decided] == pytest.approx(holm(raw))
    assert max(raw) < 1
    assert any(p < each.worse for p, each in zip(raw, decided, strict=True))


def test_without_others_or_with_few_patients_in_all_nothing_is_measured(networks):
    dataset, real, fakes = study(missing=False)
    few = measure_subgroups(
        replace(dataset, frame=dataset.frame[:24]),
        ImageSet(real.images[:24], real.features[:24], None, real.patients[:24]),
        fakes,
        networks,
    )
    assert {each.reason for each in few.omitted} >= {"not done: 12 patients in all, 14 are needed"}
    assert few.measures == ()
    alone = replace(dataset, frame=dataset.frame.assign(density="3"))
    found = measure_subgroups(alone, real, fakes, networks)
    said = {each.subgroup.name: each.reason for each in found.omitted}
    assert said["density_3"] == "not done: 0 patients with other images to compare with, 10 are needed"
    assert not measure_subgroups(dataset, real, fakes[:3], networks).measures


def test_the_result_goes_through_json_and_has_a_key_for_each_number(networks):
    dataset, real, fakes = study(missing=True)
    found = measure_subgroups(dataset, real, fakes, networks)
    assert codec.loads(SubgroupFidelity, codec.dumps(found, 1), 1, "here") == found
    table = subgroups_table(found)
    assert len(table.rows) == len(found.measures)
    assert {row[0] for row in table.rows if row[3] == "toy/coverage_test" and row[-1] == "worse"} == {"density_4"}


def test_rows_of_other_images_are_refused(networks):
    dataset, real, fakes = study(missing=False)
    with pytest.raises(ValueError, match="real=120 images: give the 60 images"):
        measure_subgroups(replace(dataset, frame=dataset.frame[:60]), real, fakes, networks)
