"""JPEG streams that have lost something before their end mark: refused, and no whole one is."""

import io
import struct

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate

from mammogan.data import dicom, jpeg, picture
from mammogan.data.quarantine import BadImageError

END = b"\xff\xd9"
SCAN = b"\xff\xda"


def drawn(rows=75, columns=90):
    y, x = np.mgrid[:rows, :columns]
    noise = np.random.default_rng(0).normal(0, 6, x.shape)
    return (100 + 60 * np.sin(x / 20) + 40 * np.cos(y / 30) + noise).clip(0, 255).astype(np.uint8)


def saved(mode="L", kind="JPEG", pixels=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(drawn() if pixels is None else pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES = {
    "baseline": {},
    "of low quality": {"quality": 20},
    "of the highest quality": {"quality": 100},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "with restart marks": {"restart_marker_blocks": 5},
    "with a mark a block": {"restart_marker_blocks": 1},
    "progressive with restart marks": {"restart_marker_rows": 1, "progressive": True},
    "grey as colour": {"mode": "RGB", "subsampling": 0},
    "grey as subsampled colour": {"mode": "RGB", "subsampling": 2, "restart_marker_rows": 1},
    "grey as progressive colour": {"mode": "RGB", "subsampling": 2, "progressive": True},
}
STREAMS = {
    "50": lambda: imagecodecs.jpeg8_encode(drawn(), level=90),
    "51": lambda: imagecodecs.jpeg8_encode(drawn().astype(np.uint16) * 16, level=90, bitspersample=12),
    "57": lambda: imagecodecs.jpeg8_encode(drawn(), lossless=True, predictor=4),
    "70": lambda: imagecodecs.ljpeg_encode(drawn().astype(np.uint16) * 16, bitspersample=12),
}


@pytest.fixture
def in_dicom(dicom_bytes):
    """Function that gives a DICOM file whose one frame is this stream."""

    def make(stream, last, pixels=None, **elements):
        pixels = drawn() if pixels is None else pixels
        pixels = pixels if last == "57" or last == "50" else pixels.astype(np.uint16)
        dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(pixels, **elements)))
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{last}"
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()

    return make


def without(content, count, before=END):
    """The stream without so many bytes before the last of these marks."""
    at = content.rindex(before)
    return content[: at - count] + content[at:]


@pytest.mark.parametrize("name", PICTURES)
class TestPicture:
    def test_a_whole_one_is_what_the_decoder_gives(self, name):
        for pixels in (drawn(), np.zeros((64, 80), np.uint8), np.full((17, 16), 128, np.uint8)):
            content = saved(pixels=pixels, **PICTURES[name])
            expected = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            np.testing.assert_array_equal(picture.decode(content), expected)

    @pytest.mark.parametrize("count", [5, 40, 200])
    def test_bytes_missing_before_the_end_mark(self, name, count):
        content = saved(**PICTURES[name])
        if count < len(content) - content.rindex(SCAN) - 20:
            with pytest.raises(BadImageError, match="cut off"):
                picture.decode(without(content, count))


@pytest.mark.parametrize("last", STREAMS)
class TestDicom:
    def test_a_whole_one_is_what_the_decoder_gives(self, in_dicom, last):
        content = STREAMS[last]()
        expected = imagecodecs.jpeg8_decode(content)
        np.testing.assert_array_equal(dicom.decode(in_dicom(content, last)), expected)
        np.testing.assert_array_equal(dicom.decode(in_dicom(content + b"\0 padding", last)), expected)

    @pytest.mark.parametrize("count", [5, 40, 400])
    def test_bytes_missing_before_the_end_mark(self, in_dicom, last, count):
        with pytest.raises(BadImageError, match="cut off"):
            dicom.decode(in_dicom(without(STREAMS[last](), count), last))


def test_one_byte_less_is_refused_or_changes_nothing():
    """The last byte may hold nothing but what a decoder takes for it."""
    for options in PICTURES.values():
        content = saved(**options)
        try:
            short = picture.decode(without(content, 1))
        except BadImageError as error:
            assert "cut off" in error.reason  # noqa: PT017
        else:
            np.testing.assert_array_equal(short, picture.decode(content))


class TestMarks:
    def test_what_stands_behind_the_end_mark_is_no_part(self):
        content = saved()
        np.testing.assert_array_equal(picture.decode(content + b"notes of a camera"), picture.decode(content))

    def test_nor_are_fill_bytes_and_strangers_before_a_mark(self):
        content = saved()
        for strange in (b"\xff\xff", b"\0\0\0", b"abc"):
            filled = content[:-2] + strange + END
            np.testing.assert_array_equal(picture.decode(filled), picture.decode(content))

    def test_a_missing_end_mark_alone_is_a_cut(self):
        with pytest.raises(BadImageError, match="cut off: no end mark"):
            picture.decode(saved()[:-2])

    @pytest.mark.parametrize("lost", [1, 3, 8])
    def test_whole_intervals_missing(self, lost):
        content = saved(restart_marker_blocks=5)
        marks = [at for at in range(content.rindex(SCAN), len(content) - 2) if content[at] == 0xFF]
        marks = [at for at in marks if 0xD0 <= content[at + 1] <= 0xD7]
        with pytest.raises(BadImageError, match=r"cut off: .* restart marks"):
            picture.decode(content[: marks[2]] + content[marks[2 + lost] :])

    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_a_progressive_scan_missing(self, mode):
        content = saved(mode, progressive=True)
        with pytest.raises(BadImageError, match="cut off: a scan is missing"):
            picture.decode(content[: content.rindex(SCAN)] + END)

    def test_arithmetic_coding_is_refused_by_name(self):
        with pytest.raises(BadImageError, match="arithmetic coding"):
            picture.decode(saved().replace(b"\xff\xc0\0", b"\xff\xc9\0"))

    def test_very_many_segments(self):
        with pytest.raises(BadImageError, match="more than 2000 segments"):
            picture.decode(saved()[:2] + b"\xff\xfe\0\x02" * 3000 + saved()[2:])


class TestTiff:
    def tiff(self, count, at=None):
        """A TIFF of one strip that has lost so many bytes before its end mark."""
        content = bytearray(saved(kind="TIFF", compression="jpeg"))
        tags = Image.open(io.BytesIO(content)).tag_v2
        start, length = tags[273][0], tags[279][0]
        strip = bytes(content[start : start + length])
        shorter = without(strip, count) if count else strip
        content[start : start + length] = shorter + bytes(count)
        return bytes(content).replace(
            struct.pack("<HHII", 279, 4, 1, length), struct.pack("<HHII", 279, 4, 1, len(shorter))
        )

    def test_a_whole_one_is_read(self):
        assert np.abs(picture.decode(self.tiff(0)).astype(int) - drawn()).max() < 40

    @pytest.mark.parametrize("count", [5, 200])
    def test_bytes_missing_before_the_end_mark(self, count):
        with pytest.raises(BadImageError, match="the JPEG is cut off"):
            picture.decode(self.tiff(count))

    def test_the_old_kind_is_refused_by_name(self):
        """No decoder here tells whether such a stream is whole."""
        content, entry = self.tiff(0), struct.pack("<HHI", 259, 3, 1)
        assert entry + b"\x07\0" in content
        with pytest.raises(BadImageError, match="JPEG of the old kind"):
            picture.decode(content.replace(entry + b"\x07\0", entry + b"\x06\0"))


class TestJpeg2000:
    def tiles(self):
        content = saved("L", "JPEG2000", tile_size=(32, 32), no_jp2=True)
        at = content.index(b"\xff\x90")
        while content[at : at + 2] == b"\xff\x90":
            (length,) = struct.unpack(">I", content[at + 6 : at + 10])
            yield content, at, length
            at += length

    def test_all_tiles_are_read(self, in_dicom):
        content, _, _ = next(self.tiles())
        np.testing.assert_array_equal(dicom.decode(in_dicom(content, "50").replace(b"4.50", b"4.90")), drawn())

    @pytest.mark.parametrize("number", [0, 4, -1])
    def test_a_tile_missing(self, in_dicom, number):
        content, at, length = list(self.tiles())[number]
        cut = content[:at] + content[at + length :]
        with pytest.raises(BadImageError, match="cut off: 8 of 9 tiles are there"):
            dicom.decode(in_dicom(cut, "50").replace(b"4.50", b"4.90"))


def test_a_stream_is_taken_apart():
    frame = jpeg.Jpeg.whole(saved(restart_marker_blocks=5)).frame
    assert (frame.rows, frame.columns, frame.units((1,))) == (75, 90, 10 * 12)
