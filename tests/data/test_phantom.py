import csv
import hashlib

import numpy as np
import pydicom
import pytest

from mammogan.data.phantom import write_phantom


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(p.relative_to(folder)), hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]


@pytest.fixture(scope="module")
def rows(phantom):
    with (phantom / "mass_case_description_train_set.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes(phantom, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        write_phantom(tmp_path / name, patients=8, seed=seed)
    assert digest(tmp_path / "same") == digest(phantom)
    assert not {sha for _, sha in digest(tmp_path / "other")} & {sha for _, sha in digest(phantom)}


def test_about_two_views_a_patient_and_two_fifths_malignant(rows):
    patients = {row["patient_id"]: row["pathology"] for row in rows}
    assert len(patients) == 8
    assert 1.3 < len(rows) / 8 <= 2
    assert sum(pathology == "MALIGNANT" for pathology in patients.values()) == 3


def test_every_row_has_its_three_files_as_cbis_writes_them(phantom, rows):
    for row in rows:
        path = row["image file path"]
        full = pydicom.dcmread(phantom / path)
        assert path.split("/")[:3] == [full.PatientID, full.StudyInstanceUID, full.SeriesInstanceUID]
        assert (full.pixel_array.dtype, full.pixel_array.shape) == (np.uint16, (400, 280))
        assert row["cropped image file path"].endswith("\n")
        pair = [pydicom.dcmread(phantom / row[f"{name} file path"].strip()) for name in ("cropped image", "ROI mask")]
        assert pair[0].SeriesInstanceUID == pair[1].SeriesInstanceUID
        assert sorted(np.unique(each.pixel_array).size > 2 for each in pair) == [False, True]


def test_the_uids_are_unique(phantom):
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in phantom.rglob("*.dcm")]
    assert len({each.SOPInstanceUID for each in read}) == len(read)


def test_a_view_has_a_dark_background_and_a_bright_breast_at_the_chest_wall(phantom, rows):
    for row in rows:
        pixels = pydicom.dcmread(phantom / row["image file path"]).pixel_array / 65535
        if row["left or right breast"] == "RIGHT":
            pixels = pixels[:, ::-1]
        assert 0.2 < np.mean(pixels < 0.06) < 0.75
        assert pixels[150:250, :40].mean() > 0.15
        assert pixels[150:250, -8:].mean() < 0.06


def test_mlo_views_show_the_pectoral_muscle(phantom, rows):
    corner = {"CC": [], "MLO": []}
    for row in rows:
        pixels = pydicom.dcmread(phantom / row["image file path"]).pixel_array / 65535
        pixels = pixels if row["left or right breast"] == "LEFT" else pixels[:, ::-1]
        corner[row["image view"]].append(pixels[20:50, 5:35].mean())
    assert min(corner["MLO"]) > 0.25
    assert np.mean(corner["MLO"]) > np.mean(corner["CC"]) + 0.15
