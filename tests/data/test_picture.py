"""Pictures as a viewer shows them: each rule by its value, and many files as ImageMagick shows them."""

import ast
import io
import itertools
import shutil
import struct
import subprocess
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, features

import mammogan
from mammogan.data import picture
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

    def test_orientation(self):
        side = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        shown = picture.decode(deep_png(np.stack([LOW] * 3, -1), 2, (b"eXIf", side)))
        np.testing.assert_array_equal(shown, LOW.T[:, ::-1])


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


def png(width, height, bits, colour):
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
        png(60_000, 60_000, 8, 0),
        png(9_000, 9_000, 8, 0),
        png(6_500, 6_500, 8, 2),
        png(10_000, 10_000, 1, 0),
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
