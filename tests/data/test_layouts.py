"""The same images from every tree that CBIS-DDSM comes in give the same data set."""

import csv
import io
import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from mammogan.config import DataConfig
from mammogan.data import dicom, manifest, sources
from mammogan.data.dataset import Dataset
from mammogan.data.ingest import ingest
from mammogan.data.worker import is_mask

REAL = DataConfig(subset="mass-test", size=112, split="image", test_fraction=0.3)
CROPS = DataConfig(subset="mass-train", size=28, images="crop")
SAME = [name for name in manifest.COLUMNS if name not in ("source", "source_sha256", "sha256")]


@pytest.fixture(scope="session")
def real(shared):
    """The folder of real files, and each file's header."""
    folder = shared / "data/cbis_ddsm/dicom_small"
    return folder, {path: pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))}


@pytest.fixture(scope="session")
def reference(real, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "set"
    ingest(str(real[0]), str(real[0]), REAL, out)
    return out


def nbia_classic(header, number):
    return f"{header.PatientID}/{header.StudyInstanceUID}/{header.SeriesInstanceUID}/{number:06d}.dcm"


def nbia_descriptive(header, number):
    study = f"10-04-2016-DDSM-NA-{header.StudyInstanceUID[-5:]}"
    series = f"1.000000-{header.SeriesDescription}-{header.SeriesInstanceUID[-5:]}"
    return f"CBIS-DDSM/{header.PatientID}/{study}/{series}/1-{number + 1}.dcm"


def by_series_alone(header, number):
    return f"{header.SeriesInstanceUID}/{number}.DCM"


def flat(header, number):
    return f"{header.SOPInstanceUID}.dcm"


def copy_tree(real, target, name_of):
    folder, headers = real
    for path, header in headers.items():
        place = target / name_of(header, 0)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    for path in folder.glob("*.subset.csv"):
        shutil.copyfile(path, target / path.name.replace(".subset", ""))
    return target


def jpeg(content):
    """What the Kaggle release did to a file: the upper eight bits as JPEG."""
    pixels = dicom.decode(content)
    eight = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(eight).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def kaggle_tree(files, labels, target):
    """``csv/`` and ``jpeg/<series uid>/``, with the table that the release adds."""
    (target / "csv").mkdir(parents=True)
    for path in labels:
        shutil.copyfile(path, target / "csv" / path.name)
    with (target / "csv/dicom_info.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_path", "image_path", "PatientID", "SeriesInstanceUID"])
        for number, path in enumerate(files):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            place = target / f"jpeg/{header.SeriesInstanceUID}/{number % 2 + 1}-{number:03d}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(jpeg(path.read_bytes()))
            table.writerow([f"CBIS-DDSM/dicom/{number}.dcm", f"CBIS-DDSM/{place}", header.PatientID, "x"])
    return target


@pytest.mark.parametrize("name_of", [nbia_classic, nbia_descriptive, by_series_alone, flat])
def test_dicom_trees_give_the_same_pixels_and_digest(real, reference, tmp_path, name_of):
    tree = copy_tree(real, tmp_path / "tree", name_of)
    summary = ingest(str(tree), "", REAL, tmp_path / "set")
    frame, expected = manifest.read(tmp_path / "set"), manifest.read(reference)
    assert summary.data_digest == manifest.data_digest(expected)
    assert frame.drop(columns="source").equals(expected.drop(columns="source"))
    for file in frame["file"]:
        assert (tmp_path / "set" / file).read_bytes() == (reference / file).read_bytes()


def test_the_kaggle_release_gives_the_same_manifest_and_nearly_the_same_pixels(real, reference, tmp_path):
    folder, headers = real
    tree = kaggle_tree(headers, folder.glob("*.subset.csv"), tmp_path / "tree")
    summary = ingest(str(tree), "", REAL, tmp_path / "set")
    assert summary.source == "kaggle"
    assert manifest.read(tmp_path / "set")[SAME].equals(manifest.read(reference)[SAME])
    images, expected = (Dataset.read(each).images().int() for each in (tmp_path / "set", reference))
    difference = (images - expected).abs()
    assert difference.float().mean() < 0.7
    assert difference.max() <= 6


def test_kaggle_crops_are_told_from_their_blurred_masks(phantom, tmp_path):
    ingest(str(phantom), "", CROPS, tmp_path / "dicom")
    tree = kaggle_tree(sorted(phantom.rglob("*.dcm")), phantom.glob("*.csv"), tmp_path / "tree")
    ingest(str(tree), "", CROPS, tmp_path / "kaggle")
    assert manifest.read(tmp_path / "kaggle")[SAME].equals(manifest.read(tmp_path / "dicom")[SAME])
    images, expected = (Dataset.read(tmp_path / each).images().int() for each in ("kaggle", "dicom"))
    assert (images - expected).abs().float().mean() < 2


def test_masks_and_crops_by_their_values(phantom, shared):
    for path in phantom.rglob("*.dcm"):
        pixels = dicom.decode(path.read_bytes())
        assert is_mask(pixels) == (np.unique(pixels).size <= 2)
    real = dicom.decode((shared / "data/cbis_ddsm/dicom_small/Mass-Training_P_00004_LEFT_CC_1.dcm").read_bytes())
    assert not is_mask(real)


def test_a_copy_of_a_file_is_no_ambiguity_but_another_image_is(real, reference, tmp_path):
    tree = copy_tree(real, tmp_path / "tree", nbia_classic)
    first, second = sorted(tree.rglob("000000.dcm"))[:2]
    shutil.copyfile(first, first.with_name("copy.dcm"))
    summary = ingest(str(tree), "", REAL, tmp_path / "set")
    assert summary.data_digest == manifest.data_digest(manifest.read(reference))
    assert f"copy.dcm,a copy of {first.relative_to(tree)}" in (tmp_path / "set/quarantine.csv").read_text()
    shutil.copyfile(second, first.with_name("other.dcm"))
    with pytest.raises(RuntimeError, match="1 of 8 images cannot be used"):
        ingest(str(tree), "", REAL, tmp_path / "set", tmp_path / "work")
    assert "2 files could be the image" in (tmp_path / "work/quarantine.csv").read_text()


def test_one_file_under_two_names_is_used_once(real, tmp_path):
    tree = copy_tree(real, tmp_path / "tree", nbia_classic)
    first, second = sorted(tree.rglob("000000.dcm"))[:2]
    shutil.copyfile(first, second)
    config = DataConfig(subset="mass-test", size=28, max_bad=0.2, split="image", test_fraction=0.3)
    assert ingest(str(tree), "", config, tmp_path / "set").images == 7
    row = (tmp_path / "set/quarantine.csv").read_text().splitlines()[1]
    assert row.startswith(f"{second.parts[-4]},{second.relative_to(tree)},the same file as {first.relative_to(tree)}")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_header_that_is_long_before_the_series_is_read_on(tmp_path, dicom_bytes, rng, syntax):
    wanted = [f"1.2.826.{number}" for number in range(2)]
    for uid, length in zip(wanted, (20_000, 400_000), strict=True):
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(rng.integers(0, 4000, (40, 40)).astype(np.uint16))))
        dataset.private_block(0x0009, "VENDOR", create=True).add_new(1, "OB", rng.bytes(length))
        dataset.SeriesInstanceUID, dataset.file_meta.TransferSyntaxUID = uid, syntax
        dataset.save_as(tmp_path / f"{length}.dcm")
    found, bad = sources._by_header(str(tmp_path), ["20000.dcm", "400000.dcm"])
    assert found == {wanted[0]: ["20000.dcm"], wanted[1]: ["400000.dcm"]}
    assert not bad
