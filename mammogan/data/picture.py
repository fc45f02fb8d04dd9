"""Grey pictures in the ordinary formats, PNG, JPEG, TIFF and BMP, as a viewer shows them; 8-bit PNG out.

Pillow knows many more formats, some by calling other programs: every picture of this package is opened here, and as
one of these four. What has one meaning is applied (white-is-zero, EXIF orientation, palettes); what has none for a grey
image (several pages or frames, colour, transparency) is refused by name.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mammogan import storage
from mammogan.data import jpeg, png, tiff
from mammogan.data.dicom_file import LARGEST_BYTES, LARGEST_PIXELS
from mammogan.data.quarantine import BadImageError, warnings_as
from mammogan.data.tiff import BITS, PHOTOMETRIC, SAMPLE_FORMAT, SAMPLES, TILE_ROWS, TILE_WIDTH

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FIX = "give a readable picture, or leave its row out of the manifest"
TRANSPARENT = "a picture that is transparent in places"
ONE_GREY = "give one grey picture a file"
PNG_DEPTH_AT, PNG_COLOUR_AT = 24, 25
"""Bytes of a PNG that tell the bits of a sample and the colour type, 0 being grey (PNG specification, IHDR)."""
MODES = ("1", "L", "P", "PA", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B", "I", "F")
"""Pillow's modes of pictures that are grey, or may turn out to be grey and opaque."""
EXACT = 1 << 24
"""Up to here float32 holds every whole number."""
PNG_LEVEL = 4
"""zlib's first level that looks for a longer match: of mammograms as small files as at level 6, in half the time."""


@dataclass(frozen=True)
class Samples:
    """What the samples of a picture are, beyond what Pillow's mode tells."""

    bits: int
    count: int
    """Samples a pixel in the file."""
    signed: bool = False
    white_is_zero: bool = False
    """Where Pillow leaves the inversion to the reader: 16 bits and more."""
    tile_bytes: int = 0
    is_deep_png: bool = False
    """Whether it is a PNG with several samples of 16 bits, of which Pillow drops the lower 8."""

    @classmethod
    def of(cls, image: Image.Image, content: bytes | memoryview) -> Samples:
        """The samples of an opened picture. Raises BadImageError for a TIFF whose compression is not read right."""
        bands = len(image.getbands())
        if image.format == "PNG":
            bits, count = int(content[PNG_DEPTH_AT]), png.SAMPLES.get(content[PNG_COLOUR_AT], bands)
            return cls(bits, count, is_deep_png=bits > 8 and count > 1)
        if image.format != "TIFF":
            return cls(8, bands)
        tags: Any = image.tag_v2  # ty: ignore[missing-attribute]  (a TIFF's image has it)
        tiff.check_compression(image, content)
        bits, form = max(tags.get(BITS, (1,))), tags.get(SAMPLE_FORMAT, (1,))[0]
        wide = image.mode in ("I", "F") or image.mode.startswith("I;16")
        count = int(tags.get(SAMPLES, bands))
        tile = int(tags.get(TILE_WIDTH, 0)) * int(tags.get(TILE_ROWS, 0)) * count * bits // 8
        return cls(bits, count, form == 2, wide and tags.get(PHOTOMETRIC) == 0, tile)


def open_image(content: bytes | memoryview) -> Image.Image:
    """A picture of one of FORMATS, opened and not yet decoded.

    Raises BadImageError for one that would take too much memory or whose compression is not read, Pillow's own errors
    for anything else.
    """
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    samples, pixels = Samples.of(image, content), image.width * image.height
    if pixels > LARGEST_PIXELS or max(pixels * samples.count * samples.bits // 8, samples.tile_bytes) > LARGEST_BYTES:
        size = f"{image.height}x{image.width} pixels of {samples.count} samples of {samples.bits} bits"
        raise BadImageError(size, f"give at most {LARGEST_PIXELS} pixels and {LARGEST_BYTES} bytes an image")
    return image


def decode(content: bytes | memoryview) -> np.ndarray:
    """Pixels of a picture: (rows, columns), uint8, uint16, float32 or float64, larger is brighter.

    Raises BadImageError and nothing else: for what is none of the four formats or broken, too large, in colour,
    transparent, or of several pages.
    """
    try:
        if png.is_png(content):
            png.check_chunks(content)
        return _decoded_at_all(content)
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:
        raise BadImageError("too many pixels", f"give at most {LARGEST_PIXELS} pixels an image") from error
    except Exception as error:  # Pillow raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable picture ({_kind(error, content)})", FIX) from error


def _decoded_at_all(content: bytes | memoryview) -> np.ndarray:
    """As it is or, where Pillow stumbles over it, without the metadata that say nothing of the pixels."""
    try:
        return _decoded(content)
    except (BadImageError, Image.DecompressionBombError):
        raise
    except Exception:
        bare = _bare(content)
        if len(bare) == len(content) and bare == content:
            raise
        return _decoded(bare)


def _bare(content: bytes | memoryview) -> bytes:
    if png.is_png(content):
        return png.bare(content)
    if jpeg.is_jpeg(content):
        return jpeg.bare(bytes(content))
    return tiff.bare(content) if tiff.is_tiff(content) else bytes(content)


def _kind(error: Exception, content: bytes | memoryview) -> str:
    """Of a picture that cannot be read, in a few words."""
    if tiff.is_tiff(content) and isinstance(error, Warning):
        return "a TIFF with a damaged tag"
    if not isinstance(error, UnidentifiedImageError):
        return type(error).__name__
    if tiff.is_tiff(content):
        return "a broken TIFF, or one of a kind that is not read"
    found = "PNG" if png.is_png(content) else "JPEG" if jpeg.is_jpeg(content) else ""
    return f"a broken {found}" if found else f"not one of {', '.join(FORMATS)}"


def _decoded(content: bytes | memoryview) -> np.ndarray:
    # damaged metadata of a JPEG or PNG stand beside the pixels; a TIFF's say what the pixels mean
    warned = partial(warnings_as, "error" if tiff.is_tiff(content) else "ignore")
    with warned():
        image = open_image(content)
        samples = Samples.of(image, content)
        _check(image, samples)
        _check_header(image, content)
        again = _lengthened(content)
    if samples.is_deep_png:
        return _deep(image, content)
    image.load()  # warns of nothing, and is what takes the time: other threads decode meanwhile
    if again is not None:
        jpeg.check_same(np.asarray(image), np.asarray(again))
    _check_data(image, content)
    with warned():
        return _grey(_upright(image), samples)


def read(path: Path) -> np.ndarray:
    """Pixels of a picture's file, (rows, columns), uint8.

    Raises ValueError, which names the file, where ``decode`` refuses it, it has more than 8 bits, or cannot be read.
    """
    try:
        pixels = decode(storage.read_bytes(str(path)))
    except BadImageError as error:
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); give a regular file that may be read") from error
    if pixels.dtype != np.uint8:
        raise ValueError(f"{path} has more than 8 bits a pixel ({pixels.dtype}): save it as 8-bit grey")
    return pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of (rows, columns) uint8, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def _check(image: Image.Image, samples: Samples) -> None:
    """Refuse by its header alone a picture that has no single meaning as a grey image."""
    if _has_second_page(image):
        raise BadImageError("a picture of more than one page or frame", ONE_GREY)
    if image.mode not in MODES:
        raise BadImageError(f"a picture of mode {image.mode}: not grey", ONE_GREY)
    if samples.count > 1 and samples.bits > 8 and not samples.is_deep_png:
        raise BadImageError(f"{samples.count} samples of {samples.bits} bits a pixel: colour or alpha", ONE_GREY)
    if samples.count > len(image.getbands()) and not samples.is_deep_png:
        raise BadImageError(f"{samples.count} samples a pixel, of which the last have no meaning", ONE_GREY)


def _lengthened(content: bytes | memoryview) -> Image.Image | None:
    """A JPEG's copy that is the same picture if nothing is missing; None for another format."""
    if not jpeg.is_jpeg(content):
        return None
    return Image.open(io.BytesIO(jpeg.Jpeg.whole(bytes(content)).lengthened()), formats=FORMATS)


def _check_header(image: Image.Image, content: bytes | memoryview) -> None:
    """Refuse a PNG whose chunks contradict each other, and a TIFF that lists too little for its rows."""
    if image.format == "PNG":
        png.check_header(image, content)
    if image.format == "TIFF":
        tiff.check_parts(image)


def _check_data(image: Image.Image, content: bytes | memoryview) -> None:
    """Refuse a decoded picture whose data end before its rows do. A JPEG's are known before (``_lengthened``)."""
    if image.format == "PNG":
        _check_rows(image, content)
    if image.format == "TIFF":
        tiff.check_jpeg(image, content)


def _check_rows(image: Image.Image, content: bytes | memoryview) -> None:
    """Refuse a decoded PNG that holds fewer rows than its header says.

    One whose rows stand in their order has them all where its last one is not black. Only else is it inflated again.
    """
    last = image.crop((0, image.height - 1, image.width, image.height))
    if image.info.get("interlace") or not np.asarray(last).any():
        png.check_whole(content)


def _has_second_page(image: Image.Image) -> bool:
    """Whether there is one; counting them all could take a hostile file's time."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _upright(image: Image.Image) -> Image.Image:
    """The image, itself turned as its EXIF orientation says; as it is where that cannot be read."""
    with suppress(Exception):  # damaged metadata: Pillow raises whatever the broken bytes lead it to
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _grey(image: Image.Image, samples: Samples) -> np.ndarray:
    if _is_transparent(image, samples):
        raise BadImageError(TRANSPARENT, "lay it on its background and save it as grey")
    if image.mode in ("1", "L"):
        pixels = np.asarray(image.convert("L"))
        return pixels.view(np.int8).astype(np.float32) if samples.signed else pixels
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        return np.uint16((1 << samples.bits) - 1) - pixels if samples.white_is_zero else pixels
    if image.mode in ("I", "F"):
        return _wide(np.asarray(image), samples)
    colours = np.asarray(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise BadImageError("a picture in colour", "save it as grey, without marks or false colours")
    return np.ascontiguousarray(colours[..., 0])


def _deep(image: Image.Image, content: bytes | memoryview) -> np.ndarray:
    """uint16 of a PNG with several samples of 16 bits, where all are grey and opaque."""
    import imagecodecs

    if png.has_more_behind(content):
        image.load()  # reads what stands behind the pixels, as an orientation may
    pixels = imagecodecs.png_decode(bytes(content))
    colours = pixels[..., :-1] if pixels.shape[-1] in (2, 4) else pixels
    if colours.shape[-1] < pixels.shape[-1] and (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
        raise BadImageError(TRANSPARENT, "lay it on its background and save it as grey")
    if (colours != colours[..., :1]).any():
        raise BadImageError("a picture in colour", "save it as grey, without marks or false colours")
    grey = Image.fromarray(np.ascontiguousarray(colours[..., 0]))
    grey.info |= image.info
    with warnings_as("ignore"):
        return np.asarray(_upright(grey)).astype(np.uint16, copy=False)


def _wide(pixels: np.ndarray, samples: Samples) -> np.ndarray:
    """float32 where that is exact, else float64, of 32-bit pixels as Pillow gives them: int32 or float32."""
    if pixels.dtype.kind == "i" and samples.bits == 32 and not samples.signed:
        pixels = pixels.view(np.uint32)  # Pillow knows no unsigned 32-bit mode
    if samples.white_is_zero:
        wide = pixels.astype(np.float64)
        return wide.max() - wide
    exact = pixels.dtype.kind == "f" or (int(pixels.min()) >= -EXACT and int(pixels.max()) <= EXACT)
    return pixels.astype(np.float32 if exact else np.float64)


def _is_transparent(image: Image.Image, samples: Samples) -> bool:
    """Whether any pixel is; a palette or a single value may be declared transparent as well."""
    if not image.has_transparency_data:
        return False
    if image.mode.startswith("I"):
        return bool((np.asarray(image) == image.info["transparency"]).any())
    if image.mode == "L" and samples.bits < 8:  # Pillow scales the pixels up to 255, and not the value
        top = (1 << samples.bits) - 1
        return bool((np.asarray(image) == (image.info["transparency"] & top) * (255 // top)).any())
    return image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
