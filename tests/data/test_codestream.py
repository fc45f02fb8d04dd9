"""Compressed DICOM: each syntax gives the stored values back, and no file decides how much memory it takes."""

import contextlib
import io
import shutil
import struct
import subprocess
import zlib

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from mammogan.data import dicom, worker
from mammogan.data.quarantine import BadImageError

SYNTAX = "1.2.840.10008.1.2.4."
LOSSLESS = {
    "JPEG lossless, selection value 1": ("70", lambda px, bits: imagecodecs.ljpeg_encode(px, bitspersample=bits)),
    "JPEG lossless": ("57", lambda px, bits: imagecodecs.ljpeg_encode(px, bitspersample=bits)),
    "JPEG-LS": ("80", lambda px, bits: imagecodecs.jpegls_encode(px)),
    "JPEG 2000": (
        "90",
        lambda px, bits: imagecodecs.jpeg2k_encode(px, 0, codecformat="j2k", bitspersample=bits, reversible=True),
    ),
    "HTJ2K": ("201", lambda px, bits: imagecodecs.htj2k_encode(px, reversible=True)),
    "HTJ2K, RPCL": ("202", lambda px, bits: imagecodecs.htj2k_encode(px, reversible=True)),
}


@pytest.fixture
def compressed(dicom_bytes):
    """Function that gives a file whose one frame is this code stream."""

    def make(pixels, stream, uid, fragments=1, **elements):
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(pixels, **elements)))
        dataset.PixelData = encapsulate(stream if isinstance(stream, list) else [stream], fragments)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = uid if uid.startswith("1.") else SYNTAX + uid
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()

    return make


@pytest.fixture
def pixels(rng):
    y, x = np.mgrid[:40, :52]
    return (40 * x + 30 * y + rng.integers(0, 99, x.shape)).astype(np.uint16)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_lossless_syntax_gives_the_values_back(compressed, pixels, name, bits):
    uid, encode = LOSSLESS[name]
    cells = (pixels >> 4).astype(np.uint8) if bits == 8 else (pixels * (16 if bits == 16 else 1))
    content = compressed(cells, encode(cells, bits), uid, BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(dicom.decode(content), cells)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("bits", [12, 16])
def test_signed_values_keep_their_sign(compressed, pixels, name, bits):
    uid, encode = LOSSLESS[name]
    values = pixels.astype(np.int16) - 2000
    cells = values.view(np.uint16) & ((1 << bits) - 1)
    stream = encode(values if "2" in name else cells, bits)  # JPEG 2000 says itself that its values are signed
    content = compressed(cells, stream, uid, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=1)
    np.testing.assert_array_equal(dicom.decode(content), values)


TWO_THOUSAND = [name for name in LOSSLESS if "2" in name]


@pytest.mark.parametrize("name", TWO_THOUSAND)
class TestContradictingSigns:
    def test_signed_values_in_an_unsigned_image_are_refused(self, compressed, pixels, name):
        uid, encode = LOSSLESS[name]
        stream = encode(pixels.astype(np.int16) - 2000, 16)
        with pytest.raises(BadImageError, match="values are signed, PixelRepresentation=0"):
            dicom.decode(compressed(pixels, stream, uid))

    def test_large_values_in_a_signed_image_are_refused(self, compressed, pixels, name):
        uid, encode = LOSSLESS[name]
        cells = pixels * np.uint16(16)
        with pytest.raises(BadImageError, match="values are unsigned, PixelRepresentation=1"):
            dicom.decode(compressed(cells, encode(cells, 16), uid, PixelRepresentation=1))

    def test_values_that_both_mean_alike_are_read(self, compressed, pixels, name):
        uid, encode = LOSSLESS[name]
        np.testing.assert_array_equal(
            dicom.decode(compressed(pixels, encode(pixels, 16), uid, PixelRepresentation=1)), pixels
        )
        stream = encode(pixels.astype(np.int16), 16)
        np.testing.assert_array_equal(dicom.decode(compressed(pixels, stream, uid)), pixels)


@pytest.mark.parametrize("name", [*LOSSLESS, "JPEG of 12 bits"])
class TestPrecision:
    def encoded(self, name, cells, bits):
        if name in LOSSLESS:
            return LOSSLESS[name][1](cells, bits), LOSSLESS[name][0]
        return imagecodecs.jpeg8_encode(cells, level=100, bitspersample=12), "51"

    def test_values_that_do_not_fit_are_refused(self, compressed, pixels, name):
        """They would begin again at black."""
        stream, uid = self.encoded(name, pixels, 12)
        with pytest.raises(BadImageError, match="bits are compressed, with values that BitsStored=10 has no room for"):
            dicom.decode(compressed(pixels, stream, uid, BitsStored=10, HighBit=9))

    def test_values_that_fit_are_read(self, compressed, pixels, name):
        cells = pixels >> 3
        stream, uid = self.encoded(name, cells, 12)
        shown = dicom.decode(compressed(cells, stream, uid, BitsStored=10, HighBit=9)).astype(int)
        assert np.abs(shown - cells).max() <= (2 if name.startswith("JPEG of") else 0)


def test_signed_values_that_do_not_fit_are_refused(compressed, pixels):
    values = pixels.astype(np.int16) - 2000
    stream = imagecodecs.jpeg2k_encode(values, 0, codecformat="j2k", reversible=True)
    np.testing.assert_array_equal(dicom.decode(compressed(values, stream, "90", BitsStored=12, HighBit=11)), values)
    with pytest.raises(BadImageError, match="values that BitsStored=10 has no room for"):
        dicom.decode(compressed(values, stream, "90", BitsStored=10, HighBit=9))


def test_jpeg_2000_that_is_signed_itself(compressed, pixels):
    values = pixels.astype(np.int16) - 2000
    stream = imagecodecs.jpeg2k_encode(values, 0, codecformat="j2k", reversible=True)
    np.testing.assert_array_equal(dicom.decode(compressed(values, stream, "90")), values)


@pytest.mark.parametrize("bits", [8, 12])
def test_lossy_jpeg_of_8_and_12_bits(compressed, pixels, bits):
    cells = (pixels >> 4).astype(np.uint8) if bits == 8 else pixels
    stream = imagecodecs.jpeg8_encode(cells, level=98, bitspersample=bits)
    content = compressed(cells, stream, "50" if bits == 8 else "51", BitsStored=bits, HighBit=bits - 1)
    assert np.abs(dicom.decode(content).astype(int) - cells).max() <= (4 if bits == 8 else 64)


@pytest.mark.skipif(not shutil.which("dcmcjpeg"), reason="DCMTK is not installed (Debian's package dcmtk)")
@pytest.mark.parametrize("command", [["dcmcjpeg", "+ee"], ["dcmcjpls", "+en"]])
def test_lossy_files_of_dcmtk_are_what_dcmtk_reads(dicom_bytes, pixels, tmp_path, command):
    (tmp_path / "plain.dcm").write_bytes(dicom_bytes(pixels, BitsStored=12, HighBit=11))
    back = {"dcmcjpeg": "dcmdjpeg", "dcmcjpls": "dcmdjpls"}[command[0]]
    for step in ([*command, "plain.dcm", "small.dcm"], [back, "small.dcm", "again.dcm"]):
        subprocess.run(step, cwd=tmp_path, check=True, capture_output=True)
    again = pydicom.dcmread(tmp_path / "again.dcm").pixel_array.astype(int)
    assert np.abs(dicom.decode((tmp_path / "small.dcm").read_bytes()).astype(int) - again).max() <= 1


def test_a_frame_in_several_fragments(compressed, pixels):
    stream = imagecodecs.jpegls_encode(pixels)
    np.testing.assert_array_equal(dicom.decode(compressed(pixels, stream, "80", fragments=3)), pixels)


def test_more_frames_than_one_are_refused(compressed, pixels):
    stream = imagecodecs.jpegls_encode(pixels)
    with pytest.raises(BadImageError, match="as 2 frames"):
        dicom.decode(compressed(pixels, [stream, stream], "80"))


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_stream_that_is_cut_off_is_refused(compressed, pixels, name):
    uid, encode = LOSSLESS[name]
    with pytest.raises(BadImageError, match="cut off"):
        dicom.decode(compressed(pixels, encode(pixels, 16)[:-200], uid))


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(compressed, pixels, name, monkeypatch):
    uid, encode = LOSSLESS[name]
    content = compressed(pixels, encode(pixels, 16), uid, Rows=39)
    for decoder in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, decoder, None)
    with pytest.raises(BadImageError, match="40x52 pixels are compressed, the header says 39x52"):
        dicom.decode(content)


def test_colour_in_the_stream_is_refused(compressed, pixels):
    stream = imagecodecs.jpeg8_encode(np.stack([(pixels >> 4).astype(np.uint8)] * 3, -1))
    with pytest.raises(BadImageError, match="3 samples a pixel are compressed"):
        dicom.decode(compressed((pixels >> 4).astype(np.uint8), stream, "50"))


def test_what_is_no_stream_says_so(compressed, pixels):
    with pytest.raises(BadImageError, match="no JPEG stream"):
        worker.decode(compressed(pixels, bytes(100), "70"))
    with pytest.raises(BadImageError, match="no JPEG 2000 stream"):
        worker.decode(compressed(pixels, bytes(100), "90"))


class TestRle:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_random_values_come_back(self, dicom_bytes, rng, dtype):
        noisy = rng.integers(0, np.iinfo(dtype).max, (31, 45), endpoint=True).astype(dtype)
        noisy[:9] = 5
        np.testing.assert_array_equal(dicom.decode(dicom_bytes(noisy, RLELossless)), noisy.astype(float))

    def test_it_inflates_no_further_than_its_size(self, compressed, pixels):
        bomb = b"\x81\0" * 1_000_000  # a run of 128 each
        header = struct.pack("<16I", 2, 64, 64 + len(bomb), *[0] * 13)
        with pytest.raises(BadImageError, match="unreadable"):
            dicom.decode(compressed(pixels, header + bomb + bomb, "1.2.840.10008.1.2.5"))

    def test_too_few_pixels_are_refused(self, compressed, pixels):
        short = bytes([251, 7]) * 2
        header = struct.pack("<16I", 2, 64, 64 + len(short), *[0] * 13)
        with pytest.raises(BadImageError, match="12 pixels are compressed, the header says 2080"):
            dicom.decode(compressed(pixels, header + short + short, "1.2.840.10008.1.2.5"))


class TestDeflated:
    def bomb(self, dicom_bytes, pixels, size):
        content = dicom_bytes(pixels, DeflatedExplicitVRLittleEndian)
        meta = 144 + struct.unpack("<I", content[140:144])[0]
        inflated = zlib.decompress(content[meta:], -zlib.MAX_WBITS)
        stream = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
        zeros = bytes(1 << 20)
        parts = [stream.compress(inflated), *(stream.compress(zeros) for _ in range(size >> 20)), stream.flush()]
        return content[:meta], b"".join(parts)

    def test_it_is_inflated_within_bounds(self, dicom_bytes, pixels):
        meta, deflated = self.bomb(dicom_bytes, pixels, 130 << 20)
        with pytest.raises(BadImageError, match="a deflated file of more than"):
            dicom.decode(meta + deflated)
        assert dicom.series_uid(meta + deflated) == "1.2.3"

    def test_nor_where_its_meta_information_is_broken(self, dicom_bytes, pixels, monkeypatch):
        content = dicom_bytes(pixels, DeflatedExplicitVRLittleEndian)
        inflations = []
        monkeypatch.setattr(zlib, "decompress", lambda *a, **k: inflations.append(a))
        broken = content.replace(
            struct.pack("<HH2sHI", 2, 0, b"UL", 4, content[140]), struct.pack("<HH2sHI", 2, 0, b"UL", 4, 2)
        )
        for case in (broken, content[132:], content[:140] + b"\xff" + content[141:]):
            with contextlib.suppress(BadImageError):
                np.testing.assert_array_equal(dicom.decode(case), pixels)
        assert not inflations


class TestHeader:
    def test_of_very_many_elements(self, dicom_bytes, pixels):
        content = dicom_bytes(pixels)
        start = 144 + struct.unpack("<I", content[140:144])[0]
        many = b"".join(struct.pack("<HH2sH", 0x0009, 0x1000 + number % 4000, b"US", 0) for number in range(250_000))
        with pytest.raises(BadImageError, match="more than 200000 elements"):
            dicom.decode(content[:start] + many + content[start:])

    def test_of_a_very_long_table(self, dicom_bytes, pixels):
        item = pydicom.Dataset()
        item.LUTDescriptor, item.LUTData = [256, 0, 16], list(range(256))
        item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
        content = dicom_bytes(pixels, ImplicitVRLittleEndian, ModalityLUTSequence=[item] * 5000)
        with pytest.raises(BadImageError, match=r"element \(0028,3000\) of \d+ bytes"):
            dicom.decode(content)
