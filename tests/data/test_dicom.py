import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from mammogan.data import dicom
from mammogan.data.quarantine import BadImageError

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 4095), (np.uint16, 65535)])
def test_pixels_come_back_as_they_were_written(dicom_bytes, rng, syntax, dtype, top):
    pixels = rng.integers(0, top, (21, 17), endpoint=True).astype(dtype)
    elements = {"BitsStored": 12, "HighBit": 11} if top == 4095 else {}
    decoded = dicom.decode(dicom_bytes(pixels, syntax, **elements))
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, pixels)


def test_signed_pixels_keep_their_sign(dicom_bytes, rng):
    pixels = rng.integers(-2000, 2000, (9, 8)).astype(np.int16)
    np.testing.assert_array_equal(dicom.decode(dicom_bytes(pixels)), pixels.astype(np.float32))


def test_rescale_slope_and_intercept_are_applied(dicom_bytes, rng):
    pixels = rng.integers(0, 4000, (9, 8)).astype(np.uint16)
    decoded = dicom.decode(dicom_bytes(pixels, RescaleSlope=-0.5, RescaleIntercept=100))
    np.testing.assert_allclose(decoded, 100 - 0.5 * pixels)


def test_monochrome1_is_inverted(dicom_bytes, rng):
    pixels = rng.integers(0, 4000, (9, 8)).astype(np.uint16)
    decoded = dicom.decode(dicom_bytes(pixels, PhotometricInterpretation="MONOCHROME1"))
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded.astype(int) + pixels, pixels.max())


def test_the_viewing_window_is_applied_when_wanted(dicom_bytes, rng):
    pixels = rng.integers(0, 4095, (9, 8)).astype(np.uint16)
    content = dicom_bytes(pixels, WindowCenter=2048, WindowWidth=1024)
    np.testing.assert_array_equal(dicom.decode(content), pixels)
    windowed = dicom.decode(content, window=True)
    # the linear function of DICOM PS3.3, C.11.2.1.2.1
    linear = np.clip(((pixels - 2047.5) / 1023 + 0.5), 0, 1) * 65535
    np.testing.assert_allclose(windowed, linear, atol=0.5)


def test_a_modality_table_is_applied(dicom_bytes):
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor, table.LUTData = [16, 0, 16], [number * number for number in range(16)]
    table["LUTData"].VR, table["LUTDescriptor"].VR, table.ModalityLUTType = "US", "US", "US"
    pixels = np.arange(16, dtype=np.uint16).repeat(4).reshape(8, 8)
    decoded = dicom.decode(dicom_bytes(pixels, ModalityLUTSequence=[table]))
    np.testing.assert_array_equal(decoded, pixels.astype(int) ** 2)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
def test_series_uid_from_the_first_bytes(dicom_bytes, rng, syntax):
    content = dicom_bytes(rng.integers(0, 255, (300, 300)).astype(np.uint16), syntax)
    assert dicom.series_uid(content[:2048]) == "1.2.3"


def test_real_files_of_both_vrs_and_rle(shared):
    import pandas as pd

    folder = shared / "data/cbis_ddsm/dicom_small"
    listed = pd.read_csv(folder / "manifest.csv")
    assert set(listed.transfer_syntax) == {"RLE Lossless", "Explicit VR Little Endian", "Implicit VR Little Endian"}
    for row in listed.itertuples():
        content = (folder / row.file).read_bytes()
        assert dicom.series_uid(content[: 1 << 16]) == row.series_uid
        assert dicom.decode(content).shape == (row.rows, row.cols)


def wrong_files(make):
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    good = make(pixels)
    return {
        "cut in the pixels": (good[:-100], "pixel"),
        "cut in the header": (good[:300], "DICOM"),
        "no pixels": (make(pixels, PixelData=None), "no pixels"),
        "no rows": (make(pixels, Rows=None), "Rows"),
        "zero rows": (make(pixels, Rows=0), "Rows=0"),
        "too many rows": (make(pixels, Rows=65), "pixel"),
        "unknown syntax": (good.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"), "1.2.840.10008.1.2.9"),
        "a syntax that is not the pixels'": (
            good.replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.4.80"),
            "unreadable",
        ),
        "a codec that is not there": (
            good.replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.4.99"),
            "transfer syntax 1.2.840.10008.1.2.4.99 is not read",
        ),
        "colour": (make(np.stack([pixels] * 3, -1), SamplesPerPixel=3, PlanarConfiguration=0), "in colour"),
    }


@pytest.mark.parametrize("name", wrong_files(lambda *a, **k: b"x" * 400))
def test_a_broken_file_says_what_is_wrong(dicom_bytes, name):
    content, reason = wrong_files(dicom_bytes)[name]
    with pytest.raises(BadImageError, match=reason):
        dicom.decode(content)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_large_uncompressed_pixels_are_not_copied(dicom_bytes, rng, syntax):
    pixels = rng.integers(0, 65535, (1024, 1200)).astype(np.uint16)
    content = np.frombuffer(dicom_bytes(pixels, syntax), np.uint8)
    decoded = dicom.decode(memoryview(content))
    np.testing.assert_array_equal(decoded, pixels)
    in_place = syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    assert np.shares_memory(decoded, content) == in_place
    with pytest.raises(BadImageError, match=r"unreadable|no pixels|bytes of pixels|cut off"):
        dicom.decode(memoryview(content)[:-5000])


def test_what_stands_in_a_header_is_repeated_by_no_warning(dicom_bytes, rng, recwarn, caplog):
    pixels = rng.integers(0, 4095, (9, 8)).astype(np.uint16)
    uid = b"1.2.826.0.1.3680043.8.498.4711"
    content = dicom_bytes(pixels, SeriesInstanceUID=uid.decode()).replace(uid, b"Jane Doe, born 1929 in Nowhere")
    assert dicom.series_uid(content) == "Jane Doe, born 1929 in Nowhere"
    np.testing.assert_array_equal(dicom.decode(content), pixels)
    assert not recwarn.list
    assert "Jane" not in caplog.text


@pytest.mark.parametrize(
    ("said", "burned_in"), [("YES", True), ("yes", True), ("NO", False), ("", False), ("Y", False), (None, False)]
)
def test_burned_in_annotation_is_read(dicom_bytes, rng, said, burned_in):
    pixels = rng.integers(0, 4095, (9, 8)).astype(np.uint16)
    elements = {} if said is None else {"BurnedInAnnotation": "XXX" if said == "yes" else said}
    content = dicom_bytes(pixels, **elements).replace(b"XXX", b"yes")  # no letters that pydicom would write
    assert dicom.read(content).burned_in == burned_in
