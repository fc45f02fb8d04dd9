"""The DICOM files say that they are synthetic, hold the same pixels, and satisfy an independent validator."""

import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import SecondaryCaptureImageStorage

from mammogan import config, storage
from mammogan.data import dicom
from mammogan.synthesis import fill, secondary_capture
from mammogan.synthesis.secondary_capture import Origin

ORIGIN = Origin("synthetic-mammogan-v3-s0-00000007", "synthetic-mammogan-v3-s0", 7, "malignant", "ab" * 32)
# Type 1 attributes of the modules of the Secondary Capture Image IOD (PS3.3 A.8.1.3) that these images must have
REQUIRED = (
    "StudyInstanceUID", "Modality", "SeriesInstanceUID", "ConversionType", "SamplesPerPixel",
    "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelData", "SOPClassUID", "SOPInstanceUID",
)  # fmt: skip
# Type 2: present, perhaps empty
PRESENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber", "SeriesNumber", "InstanceNumber", "PatientOrientation",
)  # fmt: skip


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (27, 31), dtype=np.uint8)  # an odd number of bytes


@pytest.fixture(scope="module")
def read(pixels, tmp_path_factory):
    path = tmp_path_factory.mktemp("dicom") / "image.dcm"
    path.write_bytes(secondary_capture.encode(pixels, ORIGIN))
    return pydicom.dcmread(path)


def test_required_attributes_are_there(read):
    assert read.file_meta.MediaStorageSOPClassUID == SecondaryCaptureImageStorage
    for name in REQUIRED:
        assert read.get(name) not in (None, ""), name
    for name in PRESENT:
        assert name in read, name
    assert all(len(str(element.value)) <= 64 for element in read if element.VR in ("UI", "LO", "SH", "PN"))


def test_it_says_that_it_is_synthetic_and_of_nobody(read):
    assert (read.SyntheticData, read.ConversionType) == ("YES", "SYN")
    assert list(read.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert "synthetic" in f"{read.PatientName}{read.SeriesDescription}".lower()
    assert ORIGIN.sha256 in read.DerivationDescription
    assert not read.PatientBirthDate
    assert not read.StudyDate


def test_pixels_come_back(read, pixels):
    assert np.array_equal(read.pixel_array, pixels)
    assert np.array_equal(dicom.decode(secondary_capture.encode(pixels, ORIGIN)), pixels)


def test_bytes_and_uids_depend_on_the_image_alone(pixels):
    other = Origin("synthetic-mammogan-v3-s0-00000008", ORIGIN.series, 8, "malignant", ORIGIN.sha256)
    assert secondary_capture.encode(pixels, ORIGIN) == secondary_capture.encode(pixels, ORIGIN)
    one, two = (pydicom.dcmread(_file(pixels, origin)) for origin in (ORIGIN, other))
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert one.PatientID != two.PatientID
    assert (one.StudyInstanceUID, one.SeriesInstanceUID) == (two.StudyInstanceUID, two.SeriesInstanceUID)
    assert one.SOPInstanceUID.is_valid


def _file(pixels, origin):
    return io.BytesIO(secondary_capture.encode(pixels, origin))


def test_every_image_of_a_filled_set_has_its_dicom(model, tmp_path):
    wanted = config.override(config.PRESETS["demo"], {"synthesise.count": 3, "synthesise.dicom": "yes"})
    fill(model, None, 1, wanted, str(tmp_path / "made"))
    for name in storage.list_files(str(tmp_path / "made" / "images")):
        png = np.asarray(Image.open(tmp_path / "made" / "images" / name))
        assert np.array_equal(pydicom.dcmread(tmp_path / "made" / "dicom" / f"{name[:-4]}.dcm").pixel_array, png)


def test_dciodvfy_finds_no_error(pixels, tmp_path):
    """David Clunie's validator of DICOM information objects, Debian package dicom3tools."""
    if (validator := shutil.which("dciodvfy")) is None:
        pytest.skip("dciodvfy is not installed; it is in the package dicom3tools")
    path = tmp_path / "image.dcm"
    path.write_bytes(secondary_capture.encode(pixels, ORIGIN))
    done = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert "SCImage" in lines
    # Synthetic Data (0008,001C) entered the standard after the validator's 2022 edition; pydicom's dictionary has it
    assert [line for line in lines if line.startswith("Error") and "(0x0008,0x001c)" not in line] == []
    assert pydicom.datadict.keyword_for_tag(0x0008001C) == "SyntheticData"
