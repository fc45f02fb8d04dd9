"""What is known of an image beside its label: read from every kind of table, never a reason to lose an image."""

import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_cbis_ddsm import HEADER as CASE_HEADER
from test_cbis_ddsm import row

from mammogan.config import DataConfig
from mammogan.data import cbis_ddsm, manifest, tables
from mammogan.data.dataset import Dataset
from mammogan.data.descriptors import DescriptorColumns, Descriptors
from mammogan.data.ingest import ingest
from mammogan.data.patients import Patients


def described(text):
    table = tables.parse("a.csv", text.encode())
    columns = DescriptorColumns(table.header)
    return [columns.read(each) for each in table.rows]


@pytest.mark.parametrize(
    ("cell", "density"),
    [
        *((str(number), str(number)) for number in range(1, 5)),
        ("0", ""), ("5", ""), ("-1", ""), ("2.5", ""), ("fatty", ""), ("", ""), ("11", ""),
        ("02", "2"), ("3.0", "3"), ("a", "1"), ("D", "4"), ("DENSITY C", "3"), ("category b", "2"),
    ],
)  # fmt: skip
def test_density_is_one_of_the_four_categories_or_unknown(cell, density):
    assert described(f"x,density\n1,{cell}\n") == [Descriptors(density=density)]


@pytest.mark.parametrize(("cell", "subtlety"), [("1", "1"), ("5", "5"), ("4.0", "4"), ("0", ""), ("6", ""), ("c", "")])
def test_subtlety_is_one_of_five_or_unknown(cell, subtlety):
    assert described(f"x,subtlety\n1,{cell}\n") == [Descriptors(subtlety=subtlety)]


def test_a_table_made_of_calcification_and_mass_csvs_has_the_density_in_either_column():
    text = "x,breast density,breast_density,subtlety\n1,2,,4\n2,,3,0\n3,1,4,2\n4,1,1,2\n5\n"
    assert described(text) == [
        Descriptors("2", "4"), Descriptors("3"), Descriptors("", "2"), Descriptors("1", "2"), Descriptors(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("subset", "content", "density", "subtlety"),
    [
        ("calc-train", "full", (0, 113, 394, 423, 297), (9, 93, 234, 389, 260, 242)),
        ("calc-test", "full", (2, 22, 97, 94, 69), (5, 24, 49, 91, 67, 48)),
        ("mass-test", "full", (0, 45, 165, 107, 44), (3, 14, 39, 94, 76, 135)),
        ("mass-train", "crop", (0, 287, 585, 337, 109), (2, 41, 100, 257, 375, 543)),
    ],
)
def test_the_official_csvs_say_both_whatever_they_call_the_column(shared, subset, content, density, subtlety):
    """The first number is of the unknown ones: zeros, and images whose findings are not equally subtle."""
    cases = cbis_ddsm.read_cases(str(shared / "data/cbis_ddsm/csv"), subset)
    images, _ = cbis_ddsm.wanted_images(cases, content)
    of_density = Counter(image.described.density for image in images)
    of_subtlety = Counter(image.described.subtlety for image in images)
    assert tuple(of_density[key] for key in ("", *"1234")) == density
    assert tuple(of_subtlety[key] for key in ("", *"12345")) == subtlety


def test_rows_of_one_mammogram_that_differ_say_nothing_and_leave_nothing_out(tmp_path):
    header = CASE_HEADER + ",subtlety"
    lines = [f"{row(number=number)},{subtlety}" for number, subtlety in ((1, 4), (2, 4), (3, 2))]
    (tmp_path / "cases.csv").write_text("\n".join([header, *lines, f"{row(number=3).replace(',2,', ',3,', 1)},2"]))
    cases = cbis_ddsm.read_cases(str(tmp_path), "calc-train")
    (image,), bad = cbis_ddsm.wanted_images(cases, "full")
    assert (image.described, bad) == (Descriptors(), [])
    crops, _ = cbis_ddsm.wanted_images(cases, "crop")
    assert [crop.described for crop in crops] == [Descriptors("2", "4"), Descriptors("2", "4"), Descriptors("", "2")]


@pytest.fixture
def made(tmp_path):
    """The frame by image of a data set from lines of a source's manifest, and the data set's folder."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    shutil.copy(folder / "5.png", folder / "8.png")

    def make(more, header, name="set"):
        lines = [f"{number}.png,P{number},{'MALIGNANT' if number % 2 else 'BENIGN'}" for number in range(8)]
        lines = [f"{line},{more.get(number, ',' * (header.count(',') - 1))}" for number, line in enumerate(lines)]
        lines += [line for number, line in more.items() if not isinstance(number, int)]
        (folder / manifest.FILE).write_text("\n".join([f"file,patient_id,pathology,{header}", *lines]))
        ingest(str(folder), "", DataConfig(size=28, max_bad=0.9), tmp_path / name, workers=1)
        return manifest.read(tmp_path / name).set_index("image_id"), tmp_path / name

    return make


def test_a_picture_list_keeps_its_own_columns_and_the_kind_without_a_number(made):
    more = {0: "B,5,mass", 1: "9,0,", 2: '"2\t",3,calcification', "again": "2.png,P2,BENIGN,3,3,calcification"}
    frame, _ = made(more, "Breast Density,subtlety,abnormality_type")
    kept = frame[["density", "subtlety", "abnormality"]]
    assert kept.loc["0"].tolist() == ["2", "5", "mass"]
    assert kept.loc["1"].tolist() == ["", "", ""]
    assert kept.loc["2"].tolist() == ["", "3", "calcification"]
    assert len(frame) == 8


def test_two_files_of_one_picture_that_differ_are_of_no_density(made):
    frame, _ = made({5: "1,4", "twin": "8.png,P5,MALIGNANT,2,4"}, "density,subtlety")
    assert frame.loc["5", ["density", "subtlety"]].tolist() == ["", "4"]
    assert "8" not in frame.index


def test_the_digest_and_the_images_are_those_without_the_columns(made):
    plain, _ = made({}, "notes", "plain")
    described, _ = made({3: "1,2", "again": "3.png,P3,MALIGNANT,4,1"}, "density,subtlety", "described")
    assert manifest.data_digest(described.reset_index()) == manifest.data_digest(plain.reset_index())
    assert list(plain.index) == list(described.index)


def test_descriptors_outlive_pseudonyms_and_a_data_set_that_is_a_source(made, tmp_path):
    _, folder = made({0: "4,1"}, "density,subtlety")
    ingest(
        str(folder), "", DataConfig(size=28), tmp_path / "second", workers=1, patients=Patients.at(str(tmp_path / "k"))
    )
    frame = manifest.read(tmp_path / "second")
    (kept,) = frame.loc[frame["density"] != "", ["density", "subtlety"]].to_numpy().tolist()
    assert kept == ["4", "1"]


def test_a_manifest_of_an_earlier_version_is_read_and_is_a_source(made, tmp_path):
    _, folder = made({0: "4,1"}, "density,subtlety")
    digest = Dataset.read(folder).digest
    frame = pd.read_csv(folder / manifest.FILE, dtype=str, keep_default_na=False)
    frame.loc[0, "patient_id"] = "'=NA9"
    frame[list(manifest.REQUIRED)].to_csv(folder / manifest.FILE, index=False)
    old = Dataset.read(folder)
    assert set(old.frame["density"]) == set(old.frame["subtlety"]) == {""}
    assert (old.digest, list(old.frame.columns)) == (digest, list(manifest.COLUMNS))
    ingest(str(folder), "", DataConfig(size=28), tmp_path / "second", workers=1)
    assert "=NA9" in set(manifest.read(tmp_path / "second")["patient_id"])  # cells of ours are unshielded
