"""Pictures as a viewer shows them: each rule by its value, and many files as ImageMagick shows them."""

import ast
import io
import itertools
import shutil
import struct
import subprocess
import threading
import tracemalloc
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageFile, features

import mammogan
from mammogan.data import picture, png
from mammogan.data.quarantine import BadImageError

GREY = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))
"""Grows brighter to the right."""
DEEP = np.tile(np.arange(256, dtype=np.uint16) * 257, (64, 1))
PHOTOMETRIC = 262
ORIENTATION = 274
MAGICK = next(filter(None, map(shutil.which, ("convert-im6.q16", "convert-im7.q16", "magick"))), None)
DAMAGED_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x1a\x01\x05\0\x01\0\0\0\xff\xff\0\0"
"""Says that the picture lies on its side, then breaks off."""


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels, tags, order="<"):
    """Uncompressed TIFF of one strip, with these tags besides those of its size."""
    rows, columns = pixels.shape[:2]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = {256: columns, 257: rows, 258: 8 * pixels.itemsize, 259: 1, 262: 1, 277: 1, 278: rows, 279: len(data)} | tags
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(
        struct.pack(order + "HHI", tag, 4, 1) + struct.pack(order + "I", value) for tag, value in sorted(tags.items())
    )
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + data


def ends(content):
    return picture.decode(content)[0, [0, -1]].tolist()


class TestMeaning:
    def test_white_is_zero_in_16_bits(self):
        assert ends(saved(Image.fromarray(DEEP), "TIFF", tiffinfo={PHOTOMETRIC: 0})) == [65535, 0]

    def test_white_is_zero_in_floating_point(self):
        pixels = np.tile(np.linspace(-2, 5, 20, dtype=np.float32), (18, 1))
        np.testing.assert_allclose(ends(tiff(pixels, {PHOTOMETRIC: 0, 339: 3})), [7, 0])

    def test_signed_and_large_integers(self):
        signed = np.tile(np.arange(-100, 100, dtype=np.int8), (18, 1))
        assert ends(tiff(signed, {339: 2})) == [-100, 99]
        large = np.tile(np.arange(2**32 - 40, 2**32, dtype=np.uint32), (18, 1))
        assert ends(tiff(large, {})) == [2**32 - 40, 2**32 - 1]

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation(self, kind, orientation):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        base = np.full((32, 64), 100, np.uint8)
        base[:8], base[:, :8] = 200, 30  # the top is bright, the left is dark: no two turns look the same
        turned = {
            1: base,
            2: base[:, ::-1],
            3: base[::-1, ::-1],
            4: base[::-1],
            5: base.T,
            6: base.T[:, ::-1],
            7: base[::-1, ::-1].T,
            8: base.T[::-1],
        }[orientation]
        options = {"quality": 100} if kind == "JPEG" else {}
        shown = picture.decode(saved(Image.fromarray(base), kind, exif=exif, **options))
        assert shown.shape == turned.shape
        assert np.abs(shown.astype(int) - turned).max() <= 1

    def test_a_grey_palette(self):
        image = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (32, 1)), "P")
        image.putpalette([level for level in range(255, -1, -1) for _ in range(3)])
        for kind in ("PNG", "TIFF", "BMP"):
            assert ends(saved(image, kind)) == [255, 192]

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
    def test_grey_that_was_saved_as_colour_and_opaque(self, mode):
        assert ends(saved(GREY.convert(mode), "PNG")) == [0, 255]

    def test_damaged_metadata_beside_whole_pixels(self):
        assert ends(saved(GREY, "JPEG", quality=100, exif=b"Exif\0\0garbage of a camera")) == [0, 255]
        on_its_side = picture.decode(saved(GREY, "JPEG", quality=100, exif=DAMAGED_EXIF))
        assert on_its_side.shape == (256, 64)


def deep_png(samples, colour, *extra):
    """PNG of (rows, columns, samples) uint16."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in samples)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


LOW = (np.arange(64 * 80, dtype=np.uint16) * 12 + 1).reshape(64, 80)
"""No two neighbours differ in the upper eight bits alone."""
FULL = np.full_like(LOW, 65535)


class TestDeepPng:
    @pytest.mark.parametrize(
        ("samples", "colour"),
        [([LOW] * 3, 2), ([LOW, FULL], 4), ([LOW, LOW, LOW, FULL], 6)],
        ids=["RGB", "grey and alpha", "RGBA"],
    )
    def test_grey_and_opaque_is_read_to_the_last_bit(self, samples, colour):
        shown = picture.decode(deep_png(np.stack(samples, -1), colour))
        assert shown.dtype == np.uint16
        np.testing.assert_array_equal(shown, LOW)

    @pytest.mark.parametrize(
        ("samples", "colour", "reason"),
        [
            ([LOW, LOW, LOW ^ 1], 2, "in colour"),
            ([LOW, FULL - 1], 4, "transparent"),
            ([LOW, LOW, LOW, FULL - 1], 6, "transparent"),
        ],
    )
    def test_the_last_bit_decides(self, samples, colour, reason):
        with pytest.raises(BadImageError, match=reason):
            picture.decode(deep_png(np.stack(samples, -1), colour))

    def test_a_colour_that_is_transparent(self):
        content = deep_png(np.stack([LOW] * 3, -1), 2, (b"tRNS", struct.pack(">3H", *[int(LOW[3, 4])] * 3)))
        with pytest.raises(BadImageError, match="transparent"):
            picture.decode(content)

    @pytest.mark.parametrize(("samples", "colour"), [([LOW] * 3, 2), ([LOW, FULL], 4), ([LOW, LOW, LOW, FULL], 6)])
    @pytest.mark.parametrize("place", ["before", "behind"])
    def test_orientation_before_and_behind_the_pixels(self, samples, colour, place):
        chunk = b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        written = [chunk] if place == "before" else []
        content = deep_png(np.stack(samples, -1), colour, *written)
        if place == "behind":
            content = content[:-12] + png_chunk(*chunk) + content[-12:]
        np.testing.assert_array_equal(picture.decode(content), LOW.T[:, ::-1])


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


ANCILLARY = {
    "tEXt": b"nokey", "zTXt": b"k\0\7garbage", "iTXt": b"k\0\1\0\0\0garbage",
    "tIME": b"", "iCCP": b"", "sBIT": b"\xff\xff", "hIST": b"\0", "bKGD": b"", "pHYs": b"\0\0",
    "gAMA": b"\0", "cHRM": b"\0", "sRGB": b"", "prVt": b"abc", "eXIf": b"II*\0",
}  # fmt: skip
"""Of each chunk that says nothing of the pixels, data that it cannot have, or nearly."""
TURN = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
XMP = b'XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation="6"/>'


def with_chunk(content, name, data, place, whole):
    """A PNG with one more chunk, before or behind its pixels."""
    chunk = png_chunk(name, data)
    chunk = chunk if whole else chunk[:-1] + bytes([chunk[-1] ^ 1])
    at = 33 if place == "before" else len(content) - 12
    return content[:at] + chunk + content[at:]


def with_segment(content, kind, data):
    """A JPEG with one more segment, behind its JFIF one."""
    return content[:20] + struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data + content[20:]


def with_tag(content, *entry):
    """A little-endian TIFF with one more tag, its directory copied to its end."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entries = [content[start + 2 + 12 * number :][:12] for number in range(count)]
    entries = sorted([*entries, struct.pack("<HHII", *entry)], key=lambda each: struct.unpack_from("<H", each))
    content += bytes(len(content) % 2)
    end = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + end


class TestDamagedMetadata:
    """They are no reason to refuse whole pixels: an independent decoder, imagecodecs', reads all of these."""

    @pytest.mark.parametrize("name", ANCILLARY)
    @pytest.mark.parametrize("place", ["before", "behind"])
    @pytest.mark.parametrize("whole", [True, False], ids=["whole", "damaged"])
    @pytest.mark.parametrize("kind", ["grey", "deep"])
    def test_a_png_s_chunk(self, name, place, whole, kind):
        made = {"grey": saved(GREY, "PNG"), "deep": deep_png(np.stack([LOW] * 3, -1), 2)}[kind]
        content = with_chunk(made, name.encode(), ANCILLARY[name], place, whole)
        shown = imagecodecs.png_decode(content)
        np.testing.assert_array_equal(picture.decode(content), shown if kind == "grey" else shown[..., 0])

    @pytest.mark.parametrize("place", ["before", "behind"])
    @pytest.mark.parametrize("chunk", [("eXIf", TURN), ("iTXt", XMP)], ids=["EXIF", "XMP"])
    def test_a_png_s_orientation_is_believed_only_whole(self, place, chunk):
        name, data = chunk
        turned = picture.decode(with_chunk(saved(GREY, "PNG"), name.encode(), data, place, whole=True))
        assert turned.shape == (256, 64)
        with pytest.raises(BadImageError, match=f"a PNG whose {name} chunk is damaged"):
            picture.decode(with_chunk(saved(GREY, "PNG"), name.encode(), data, place, whole=False))
        beside = with_chunk(saved(GREY, "PNG"), b"tEXt", b"nokey", "before", whole=False)
        turned = picture.decode(with_chunk(beside, name.encode(), data, place, whole=True))
        assert turned.shape == (256, 64)

    @pytest.mark.parametrize("name", ["PLTE", "tRNS", "acTL"])
    @pytest.mark.parametrize("place", ["before", "behind"])
    def test_a_png_s_chunk_that_says_what_its_pixels_are(self, name, place):
        damaged = with_chunk(saved(GREY, "PNG"), name.encode(), bytes(9), place, whole=False)
        with pytest.raises(BadImageError, match=f"a PNG whose {name} chunk is damaged"):
            picture.decode(damaged)

    def test_a_png_s_header(self):
        content = bytearray(saved(GREY, "PNG"))
        content[19] ^= 1
        with pytest.raises(BadImageError, match="a PNG whose IHDR chunk is damaged"):
            picture.decode(bytes(content))

    @pytest.mark.parametrize(
        ("kind", "data"),
        [(0xE0, b"JFIF\0"), (0xE0, b"JFIF\0\1\1"), (0xE2, b"ICC_PROFILE\0"), (0xEE, b"Adobe"), (0xEE, b"Adobe\0d\0\0")],
        ids=repr,
    )
    def test_a_jpeg_s_segment(self, kind, data):
        content = with_segment(saved(GREY, "JPEG"), kind, data)
        np.testing.assert_array_equal(picture.decode(content), imagecodecs.jpeg8_decode(content))

    def test_a_jpeg_lies_as_it_says_beside_a_damaged_segment(self):
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        content = with_segment(saved(GREY, "JPEG", exif=exif), 0xEE, b"Adobe")
        assert picture.decode(content).shape == (256, 64)

    def test_what_a_jpeg_s_components_are_is_believed_only_whole(self):
        with pytest.raises(BadImageError, match=r"a JPEG whose Adobe segment.* is cut off"):
            picture.decode(with_segment(saved(GREY.convert("RGB"), "JPEG"), 0xEE, b"Adobe"))

    @pytest.mark.parametrize(
        "entry",
        [(305, 2, 100, 1 << 24), (34675, 7, 1000, 1 << 24), (282, 5, 1, 1 << 24), (700, 7, 1 << 30, 8)],
        ids=["Software", "ICC", "XResolution", "XMP"],
    )
    def test_a_tiff_s_tag_that_points_outside(self, entry):
        content = with_tag(saved(GREY, "TIFF"), *entry)
        np.testing.assert_array_equal(picture.decode(content), np.asarray(GREY))

    def test_a_tiff_s_tag_that_says_what_its_pixels_are(self):
        with pytest.raises(BadImageError, match="a TIFF with a damaged tag"):
            picture.decode(with_tag(saved(GREY, "TIFF"), 338, 3, 100, 1 << 24))

    def test_a_broken_png_is_called_one(self):
        with pytest.raises(BadImageError, match=r"unreadable picture \(a broken PNG\)"):
            picture.decode(saved(GREY, "PNG")[:37])


PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""Of Adam7: first row and column, step of rows and of columns."""
PLTE = b"PLTE", bytes(level for level in range(256) for _ in range(3))


def stream(values, bits, interlaced=False):
    """What a PNG of (rows, columns, samples) deflates: each row's filter and its bits."""
    lines = []
    for row, column, down, across in PASSES if interlaced else [(0, 0, 1, 1)]:
        for line in values[row::down, column::across]:
            if line.size:
                digits = (line.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
                lines.append(b"\0" + np.packbits(digits.astype(np.uint8)).tobytes())
    return b"".join(lines)


def png_of(size, bits, colour, data, *before, interlaced=False, behind=()):
    """PNG of so many (rows, columns) by its header, whose IDAT chunks are ``data``."""
    header = struct.pack(">IIBBBBB", size[1], size[0], bits, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *before, *((b"IDAT", part) for part in data), *behind, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


KINDS = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 3), (4, 3), (8, 3), (8, 2), (8, 4), (8, 6), (16, 2), (16, 6)]
"""Bits and colour types."""


def written(rows, columns, bits, colour, interlaced):
    """What is deflated of a grey and opaque image, black in its last row."""
    grey = np.add.outer(np.arange(rows), np.arange(columns)) % (1 << bits)
    grey[-1] = 0
    full = np.full_like(grey, (1 << bits) - 1)
    planes = {0: [grey], 2: [grey] * 3, 3: [grey], 4: [grey, full], 6: [grey] * 3 + [full]}[colour]
    return stream(np.stack(planes, -1), bits, interlaced)


class TestShortPng:
    @pytest.mark.parametrize(("bits", "colour"), KINDS)
    @pytest.mark.parametrize("interlaced", [False, True])
    @pytest.mark.parametrize("size", [(37, 29), (3, 2), (1, 1), (20, 1), (1, 20)])
    def test_one_whose_stream_is_too_short_by_a_byte_is_refused(self, bits, colour, interlaced, size):
        whole = written(*size, bits, colour, interlaced)
        before = [PLTE] if colour == 3 and bits == 8 else [(b"PLTE", PLTE[1][: 3 << bits])] if colour == 3 else []

        def made(data):
            half = len(data) // 2
            return png_of(size, bits, colour, [data[:half], b"", data[half:]], *before, interlaced=interlaced)

        assert picture.decode(made(zlib.compress(whole))).shape == size
        for missing in {1, len(whole) // 3 or 1, len(whole)}:
            with pytest.raises(BadImageError, match=r"a PNG cut off: \d+ bytes of pixels|unreadable picture"):
                picture.decode(made(zlib.compress(whole[: len(whole) - missing])))

    def test_it_says_how_many_bytes(self):
        data = stream(np.full((20, 32, 1), 200), 8)
        with pytest.raises(BadImageError, match="a PNG cut off: 660 bytes of pixels, 32x32 need 1056"):
            picture.decode(png_of((32, 32), 8, 0, [zlib.compress(data)]))

    def test_only_pixels_that_stand_together_count(self):
        """A decoder goes on with nothing behind another chunk."""
        whole = zlib.compress(np.random.default_rng(0).bytes(33 * 32))
        assert png.check_whole(png_of((32, 32), 8, 0, [whole[:500], whole[500:]])) is None
        parted = png_of((32, 32), 8, 0, [whole[:500]], behind=[(b"tEXt", b"a\0b"), (b"IDAT", whole[500:])])
        with pytest.raises(BadImageError, match="a PNG cut off"):
            png.check_whole(parted)
        with pytest.raises(BadImageError, match="unreadable picture"):
            picture.decode(parted)

    def test_more_than_the_rows_is_never_inflated(self):
        whole = stream(np.zeros((64, 64, 1), int), 8)
        content = png_of((64, 64), 8, 0, [zlib.compress(whole + bytes(40 << 20))])
        tracemalloc.start()
        png.check_whole(content)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20

    def test_a_stream_that_is_broken_is_refused(self):
        whole = zlib.compress(stream(np.zeros((64, 64, 1), int), 8))
        for data in (b"", whole[:-9], whole[:9] + b"\xff" * 9 + whole[18:]):
            with pytest.raises(BadImageError, match="unreadable picture"):
                picture.decode(png_of((64, 64), 8, 0, [data]))


class TestContradictoryPng:
    """Pillow would decode each otherwise than its header says, and say nothing."""

    DATA = (zlib.compress(stream(np.arange(64 * 64).reshape(64, 64, 1) % 251, 8)),)
    LARGER = b"IHDR", struct.pack(">IIBBBBB", 64, 90, 8, 0, 0, 0, 0)
    FRAME = b"fcTL", struct.pack(">IIIIIHHBB", 0, 20, 10, 0, 0, 0, 0, 0, 0)

    @pytest.mark.parametrize(
        ("chunks", "reason"),
        [
            ([LARGER], "one IHDR chunk"),
            ([(b"acTL", struct.pack(">II", 1, 0)), FRAME], "chunks contradict its header"),
            ([(b"tEXt", b"interlace\0yes")], "chunks contradict its header"),
        ],
        ids=["another header", "a smaller frame", "a text"],
    )
    def test_it_is_refused(self, chunks, reason):
        with pytest.raises(BadImageError, match=reason):
            picture.decode(png_of((64, 64), 8, 0, self.DATA, *chunks))

    def test_the_header_has_to_be_first(self):
        content = png_of((64, 64), 8, 0, self.DATA)
        with pytest.raises(BadImageError, match="one IHDR chunk"):
            picture.decode(content[:8] + png_chunk(b"tEXt", b"a" * 99) + content[8:])


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_one_grey_value_of_a_png_that_is_transparent(bits):
    """The file gives it in its own bits, of which only the lower ones count."""
    top = (1 << bits) - 1
    values = np.tile(np.arange(64) % min(1 << bits, 50), (40, 1))
    values[values == 1] = 0 if bits > 1 else 1
    data = [zlib.compress(stream(values[..., None], bits))]

    def shown(value):
        return picture.decode(png_of(values.shape, bits, 0, data, (b"tRNS", struct.pack(">H", value))))

    for value in {0, min(top, 2), min(top, 3)}:
        with pytest.raises(BadImageError, match="transparent"):
            shown(value)
    if bits > 1:
        assert shown(1).tolist() == picture.decode(png_of(values.shape, bits, 0, data)).tolist()
    if 1 < bits < 8:
        with pytest.raises(BadImageError, match="transparent"):
            shown(top + 1)


def parted_tiff(pixels, part_rows, listed=None, *, tile=0, compress=bytes, kind=1, tags=()):
    """TIFF of (rows, columns) or (planes, rows, columns), of whose strips or tiles so many are listed."""
    planes = pixels if pixels.ndim == 3 else pixels[None]
    parts = []
    for plane in planes:
        for row in range(0, plane.shape[0], part_rows):
            strip = plane[row : row + part_rows]
            if tile:
                strip = np.pad(strip, ((0, part_rows - len(strip)), (0, -strip.shape[1] % tile)))
            parts += [
                strip[:, column : column + (tile or strip.shape[1])]
                for column in range(0, strip.shape[1], tile or strip.shape[1])
            ]
    data = [compress(np.ascontiguousarray(part)) for part in parts][:listed]
    starts = [8 + sum(map(len, data[:number])) for number in range(len(data))]
    first, second = (324, 325) if tile else (273, 279)
    sides = {322: [tile], 323: [part_rows]} if tile else {278: [part_rows]}
    entries = {256: [planes.shape[2]], 257: [planes.shape[1]], 258: [8 * pixels.itemsize] * len(planes), 259: [kind],
               262: [1 if len(planes) == 1 else 2], 277: [len(planes)], 284: [1 if len(planes) == 1 else 2],
               first: starts, second: [len(each) for each in data], **sides} | dict(tags)  # fmt: skip
    entries = {tag: values for tag, values in entries.items() if values is not None}
    at = 8 + sum(map(len, data))
    beyond, table, extra = at + 6 + 12 * len(entries), b"", b""
    for tag, values in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(packed) == 4 else struct.pack("<I", beyond + len(extra))
        extra += b"" if len(packed) == 4 else packed
        table += struct.pack("<HHI", tag, 4, len(values)) + place
    return (
        b"II*\0" + struct.pack("<I", at) + b"".join(data) + struct.pack("<H", len(entries)) + table + bytes(4) + extra
    )


def jpeg_bytes(pixels):
    return saved(Image.fromarray(pixels), "JPEG", quality=95)


NOISE = np.random.default_rng(0).integers(1, 255, (200, 150)).astype(np.uint8)
LAYOUTS = {"strips": (50, 0), "tiles": (64, 32)}
COMPRESSED = {"none": (bytes, 1), "deflate": (zlib.compress, 8), "JPEG": (jpeg_bytes, 7)}


class TestShortTiff:
    @pytest.mark.parametrize("compression", COMPRESSED)
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_one_that_lists_too_few_parts_is_refused(self, compression, layout, orientation):
        (compress, kind), (part_rows, tile) = COMPRESSED[compression], LAYOUTS[layout]
        if kind == 7 and orientation > 1:
            return

        def made(listed):
            tags = {ORIENTATION: [orientation]}
            return parted_tiff(NOISE, part_rows, listed, tile=tile, compress=compress, kind=kind, tags=tags)

        count = {"strips": 4, "tiles": 20}[layout]
        shown = picture.decode(made(None))
        assert np.abs(shown.astype(int) - (NOISE if orientation == 1 else NOISE[::-1].T)).max() <= 40 * (kind == 7)
        for listed in (count - 1, 1):
            with pytest.raises(BadImageError, match=f"lists {listed} {layout}, 200x150 pixels need {count}"):
                picture.decode(made(listed))

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_an_uncompressed_part_that_is_too_short_is_refused(self, layout, dtype):
        (part_rows, tile), pixels = LAYOUTS[layout], NOISE.astype(dtype) * 3
        whole = parted_tiff(pixels, part_rows, tile=tile)
        np.testing.assert_array_equal(picture.decode(whole), pixels)
        tag = 325 if tile else 279
        bytes_of = (64 * 32 if tile else 50 * 150) * pixels.itemsize
        lengths = [bytes_of] * (20 if tile else 4)
        short = parted_tiff(pixels, part_rows, tile=tile, tags={tag: [*lengths[:2], bytes_of - 1, *lengths[3:]]})
        with pytest.raises(
            BadImageError, match=f"a TIFF cut off: {bytes_of - 1} bytes of pixels in one of its {layout}"
        ):
            picture.decode(short)
        np.testing.assert_array_equal(
            picture.decode(parted_tiff(pixels, part_rows, tile=tile, tags={tag: None})), pixels
        )

    @pytest.mark.parametrize("bits", [1, 4])
    def test_rows_of_less_than_a_byte_a_pixel(self, bits):
        """Of 150 pixels a row, 19 and 75 bytes."""
        row_bytes = -(-150 * bits // 8)
        packed = np.full((40, row_bytes), 0x5A, np.uint8)
        tags = {256: [150], 258: [bits]}
        assert picture.decode(parted_tiff(packed, 40, tags=tags)).shape == (40, 150)
        with pytest.raises(BadImageError, match=f"40 rows need {40 * row_bytes}"):
            picture.decode(parted_tiff(packed, 40, tags=tags | {279: [40 * row_bytes - 1]}))

    def test_every_sample_may_have_parts_of_its_own(self):
        planes = np.stack([NOISE] * 3)
        np.testing.assert_array_equal(picture.decode(parted_tiff(planes, 50)), NOISE)
        with pytest.raises(BadImageError, match="lists 8 strips, 200x150 pixels need 12"):
            picture.decode(parted_tiff(planes, 50, 8))

    def test_a_jpeg_part_of_fewer_rows_is_refused(self):
        def shorter(part):
            return jpeg_bytes(part[: len(part) - 8])

        with pytest.raises(BadImageError, match="a TIFF cut off: 42x150 pixels in one of its strips, which has 50x150"):
            picture.decode(parted_tiff(NOISE, 50, compress=shorter, kind=7))

    def test_strips_and_tiles_at_once_are_refused(self):
        with pytest.raises(BadImageError, match="not of strips alone, nor of tiles alone"):
            picture.decode(parted_tiff(NOISE, 200, tags={322: [16], 323: [16]}))


def with_alpha(mode, value):
    image = GREY.convert("RGBA")
    image.putalpha(Image.new("L", GREY.size, value))
    return image.convert(mode)


def two_pages(kind):
    return saved(GREY, kind, save_all=True, append_images=[GREY.point(lambda level: 255 - level)])


REFUSED = {
    "two pages": (lambda: two_pages("TIFF"), "more than one page or frame"),
    "frames": (lambda: two_pages("PNG"), "more than one page or frame"),
    "alpha": (lambda: saved(with_alpha("RGBA", 0), "PNG"), "transparent"),
    "grey alpha": (lambda: saved(with_alpha("LA", 254), "PNG"), "transparent"),
    "alpha in a TIFF": (lambda: saved(with_alpha("RGBA", 9), "TIFF"), "transparent"),
    "a grey value": (lambda: saved(GREY, "PNG", transparency=9), "transparent"),
    "a 16-bit grey value": (lambda: saved(Image.fromarray(DEEP), "PNG", transparency=257), "transparent"),
    "colour": (lambda: saved(Image.new("RGB", (64, 64), (9, 9, 10)), "PNG"), "in colour"),
    "CMYK": (lambda: saved(Image.new("CMYK", (64, 64), (9, 9, 9, 9)), "JPEG"), "mode CMYK"),
    "16-bit colour": (lambda: tiff(np.zeros((20, 60), np.uint16), {256: 20, 277: 3, 262: 2}), "3 samples of 16 bits"),
    "a sample without meaning": (
        lambda: tiff(np.zeros((20, 40), np.uint8), {256: 20, 277: 2, 338: 0}),
        "2 samples a pixel",
    ),
    "cut off": (lambda: saved(GREY, "PNG")[:-80], "unreadable picture"),
    "a JPEG cut off": (lambda: saved(GREY, "JPEG")[:-80], "cut off: no end mark"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_single_meaning_is_refused_by_name(name):
    make, reason = REFUSED[name]
    with pytest.raises(BadImageError, match=reason):
        picture.decode(make())


class TestFormats:
    @pytest.mark.parametrize("kind", ["GIF", "PPM", "TGA", "WEBP", "EPS", "ICO", "JPEG2000", "SGI", "PCX"])
    def test_only_four_formats_are_opened(self, kind, monkeypatch):
        if kind in ("WEBP", "JPEG2000") and not features.check({"WEBP": "webp", "JPEG2000": "jpg_2000"}[kind]):
            pytest.skip(f"this Pillow writes no {kind}")
        content = saved(GREY.convert("RGB"), kind)
        called = []
        monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: called.append(a))
        monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: called.append(a))
        with pytest.raises(BadImageError, match="not one of PNG, JPEG, TIFF, BMP"):
            picture.decode(content)
        assert not called

    def test_pictures_are_opened_in_one_place(self):
        """By syntax: nobody else opens a picture with Pillow, who guesses its format."""
        root = Path(mammogan.__file__).parent
        openers = set()
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr == "open"
                    and ast.unparse(node.value).endswith("Image")
                ):
                    openers.add(path.relative_to(root).as_posix())
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("PIL.Image"):
                    assert "open" not in {name.name for name in node.names}
        assert openers == {"data/picture.py"}


def claimed_png(width, height, bits, colour):
    """PNG whose header claims a size; of its pixels there is one row."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        claimed_png(60_000, 60_000, 8, 0),
        claimed_png(9_000, 9_000, 8, 0),
        claimed_png(6_500, 6_500, 8, 2),
        claimed_png(10_000, 10_000, 1, 0),
        tiff(np.zeros((20, 20), np.float32), {256: 6_000, 257: 6_000, 339: 3}),
        tiff(np.zeros((16, 16), np.uint8), {322: 65_536, 323: 65_536, 324: 8, 325: 256}),
    ],
    ids=["8 bits", "more pixels", "three samples", "1 bit", "32 bits", "a tile"],
)
def test_a_picture_that_would_take_too_much_memory_is_refused_by_its_header(content, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(BadImageError, match="give at most"):
        picture.decode(content)


@dataclass(frozen=True)
class File:
    suffix: str
    written: tuple

    @classmethod
    def all(cls):
        turns = itertools.cycle(
            ["TopLeft", "TopRight", "BottomRight", "BottomLeft", "LeftTop", "RightTop", "RightBottom", "LeftBottom"]
        )
        tiffs = itertools.product(
            (1, 2, 4, 8, 16), ("black", "white"), ("lsb", "msb"), ("None", "LZW", "Zip", "RLE"), ("strip", "tile")
        )
        for depth, zero, endian, compression, layout in tiffs:
            if zero == "white" and depth in (2, 4):
                continue  # ImageMagick 6 neither writes nor reads the polarity of these; TIFF 6.0, section 4, is clear
            tile = ("-define", "tiff:tile-geometry=32x32") if layout == "tile" else ()
            polarity = ("-define", f"quantum:polarity=min-is-{zero}")
            order = ("-define", f"tiff:endian={endian}", "-compress", compression, "-orient", next(turns))
            yield cls("tif", ("-type", "Grayscale", "-depth", str(depth), *polarity, *order, *tile))
        for depth, interlace, kind in itertools.product((1, 2, 4, 8, 16), ("None", "PNG"), (0, 3, 2)):
            if (kind, depth) not in ((3, 16), (2, 1), (2, 2), (2, 4), (2, 16)):
                meant = (
                    "-define",
                    f"png:color-type={kind}",
                    "-define",
                    f"png:bit-depth={depth}",
                    "-interlace",
                    interlace,
                )
                yield cls(
                    "png", (*(("-colors", str(min(256, 1 << depth))) if kind == 3 else ("-depth", str(depth))), *meant)
                )
        for quality, interlace, _ in itertools.product((75, 90, 100), ("None", "Plane"), range(8)):
            yield cls("jpg", ("-quality", str(quality), "-interlace", interlace, "-orient", next(turns)))
        for kind in ("Grayscale", "TrueColor", "Palette", "Bilevel"):
            yield cls("bmp", ("-type", kind))


def compare(file, folder):
    """Greatest difference in grey levels of 256 to what ImageMagick shows; None where the file is refused."""
    y, x = np.mgrid[:48, :60]
    Image.fromarray((x * 900 + y * 250).astype(np.uint16)).save(folder / "drawn.png")
    path = folder / f"written.{file.suffix}"
    subprocess.run([MAGICK, folder / "drawn.png", *file.written, path], check=True, capture_output=True)
    read = [MAGICK, path, "-auto-orient", "-depth", "16", "-endian", "LSB", "rgb:-"]
    shown = np.frombuffer(subprocess.run(read, check=True, capture_output=True).stdout, "<u2").reshape(-1, 3)
    try:
        ours = picture.decode(path.read_bytes())
    except BadImageError as error:
        return None if "of a kind that is not read" in error.reason else 255
    full = 65535 if ours.dtype == np.uint16 else 255
    return np.abs(ours.ravel().astype(float) / full - shown[:, 0] / 65535).max() * 255


FILES = list(File.all())
needs_magick = pytest.mark.skipif(not MAGICK, reason="ImageMagick is not installed (Debian's package imagemagick)")


def assert_as_shown(files, folder):
    found = {file: compare(file, folder) for file in files}
    assert not {file: each for file, each in found.items() if each is not None and each > 1}
    assert sum(each is not None for each in found.values()) >= 0.9 * len(found)


@needs_magick
def test_some_pictures_are_shown_as_imagemagick_shows_them(tmp_path):
    assert_as_shown(FILES[::13], tmp_path)


@needs_magick
@pytest.mark.long
def test_all_pictures_are_shown_as_imagemagick_shows_them(tmp_path):
    assert len(FILES) >= 200
    assert_as_shown(FILES, tmp_path)


def test_threads_decode_at_the_same_time(monkeypatch):
    """Each waits within the decoding until the other one is there too: one after another would break the barrier."""
    both, load, decoded = threading.Barrier(2, timeout=30), ImageFile.ImageFile.load, []

    def loaded(image):
        if image.tile:  # not yet decoded
            both.wait()
        return load(image)

    content = saved(GREY, "BMP")
    monkeypatch.setattr(ImageFile.ImageFile, "load", loaded)
    threads = [threading.Thread(target=lambda: decoded.append(picture.decode(content))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pixels.tolist() for pixels in decoded] == [np.asarray(GREY).tolist()] * 2


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "u4", "i4", "f4"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
def test_a_tiff_of_either_byte_order_has_its_values_or_is_refused(kind, compression, rng):
    """Pillow 13.0 swaps the bytes of some twice."""
    import tifffile

    pixels = (rng.integers(0, 100, (40, 36)) * (1 if kind == "u1" else 300)).astype(kind)
    for order in "<>":
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, compression=compression, byteorder=order)
        if order == ">" and kind not in ("u1", "u2") and (compression or kind == "u4"):
            known = "a compressed big-endian TIFF" if kind in ("i2", "f4") else "TIFF"  # the others Pillow knows not
            with pytest.raises(BadImageError, match=known):
                picture.decode(buffer.getvalue())
        else:
            np.testing.assert_array_equal(picture.decode(buffer.getvalue()), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_tiff_lies_as_its_orientation_says_however_it_is_compressed(compression, orientation):
    """Or is refused: Pillow turns one of JPEG parts twice."""
    pixels = np.add.outer(np.arange(48) * 3, np.arange(32)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression=compression, tiffinfo={ORIENTATION: orientation})
    turned = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.T, 6: pixels[::-1].T,
        7: pixels[::-1, ::-1].T, 8: pixels[:, ::-1].T,
    }[orientation]  # fmt: skip
    if compression == "jpeg" and orientation > 1:
        with pytest.raises(
            BadImageError, match=f"a TIFF of JPEG parts with Orientation {orientation}; save it upright"
        ):
            picture.decode(buffer.getvalue())
        return
    shown = picture.decode(buffer.getvalue()).astype(int)
    assert shown.shape == turned.shape
    assert np.abs(shown - turned).max() <= (6 if compression == "jpeg" else 0)
