"""Whether a TIFF (TIFF 6.0) holds all its pixels: decoders leave black, or take from other bytes, what it lacks.

Its rows stand in strips or tiles, which its directory lists with their lengths. There must be as many as the image's
size asks for. One that is uncompressed must have the bytes of its rows; one that is a JPEG stream must be whole, and as
large as its part of the image. Of other compressions the decoder says itself where bytes are missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammogan.data import jpeg
from mammogan.data.dicom_file import FIX, LARGEST_PIXELS
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Tags

COLUMNS, ROWS, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES = 256, 257, 258, 259, 262, 274, 277
STRIPS, STRIP_ROWS, STRIP_BYTES, TILE_WIDTH, TILE_ROWS, TILES, TILE_BYTES = 273, 278, 279, 322, 323, 324, 325
PLANAR, SAMPLE_FORMAT, TABLES = 284, 339, 347
"""Tags (TIFF 6.0, sections 8, 15, 19 and 22); TABLES are what JPEG streams share."""
SIDE = frozenset((
    269, 270, 271, 272, 282, 283, 285, 286, 287, 296, 305, 306, 315, 316, 700, 33432, 33723, 34377, 34665, 34675, 34853,
    37724,
))  # fmt: skip
"""Tags that say nothing of the pixels: texts, resolution and place on a page, and what XMP, IPTC, Photoshop, EXIF, ICC
and GPS have to say. Any other one may."""
FORMS = {b"II*\0": "<4xI", b"MM\0*": ">4xI"}
"""Starts of a file, and what leads to its directory."""
ENTRY_BYTES = 12
UNCOMPRESSED, OLD_JPEG, JPEG = 1, 6, 7
"""Values of COMPRESSION."""
SEPARATE = 2
"""Value of PLANAR where each sample has strips or tiles of its own."""


@dataclass(frozen=True)
class Grid:
    """How the image is parted into strips or tiles."""

    name: str
    rows: int
    columns: int
    """Of the image, as it is stored."""
    part_rows: int
    part_columns: int
    """Of one that does not stand out over the edge."""
    planes: int

    @classmethod
    def of(cls, tags: Tags) -> Grid:
        """By a directory. Raises BadImageError for one of both kinds, whose readers do not agree which one counts."""
        tiled = TILE_WIDTH in tags
        if tiled != (TILES in tags) or tiled == (STRIPS in tags):
            raise BadImageError("a TIFF that is not of strips alone, nor of tiles alone", FIX)
        rows, columns = tags[ROWS], tags[COLUMNS]
        planes = tags.get(SAMPLES, 1) if tags.get(PLANAR, 1) == SEPARATE else 1
        if tiled:
            return cls("tiles", rows, columns, tags[TILE_ROWS], tags[TILE_WIDTH], planes)
        return cls("strips", rows, columns, min(tags.get(STRIP_ROWS, rows), rows), columns, planes)

    @property
    def across(self) -> int:
        """Parts that stand beside each other."""
        return -(-self.columns // self.part_columns)

    @property
    def down(self) -> int:
        """Parts that stand below each other."""
        return -(-self.rows // self.part_rows)

    @property
    def count(self) -> int:
        """Parts of the image."""
        return self.across * self.down * self.planes

    def sizes(self) -> Iterator[tuple[int, int]]:
        """Rows and columns of the image that each part holds."""
        for number in range(self.count):
            row, column = divmod(number % (self.across * self.down), self.across)
            rows, columns = self.rows - row * self.part_rows, self.columns - column * self.part_columns
            yield min(rows, self.part_rows), min(columns, self.part_columns)


def is_tiff(content: bytes | memoryview) -> bool:
    """Whether the bytes begin as a TIFF does."""
    return bytes(content[:2]) in (b"II", b"MM")


def bare(content: bytes | memoryview) -> bytes:
    """The TIFF without the tags that say nothing of its pixels, over which Pillow may stumble.

    Nothing moves but the entries of its first directory; a larger kind, and a broken one, stays as it is.
    """
    copy, form = bytearray(content), FORMS.get(bytes(content[:4]))
    if form is None or len(copy) < struct.calcsize(form):
        return bytes(copy)
    (start,) = struct.unpack_from(form, copy)
    number = struct.Struct(f"{form[0]}H")
    if start + number.size > len(copy):
        return bytes(copy)
    (count,) = number.unpack_from(copy, start)
    first, end = start + number.size, start + number.size + count * ENTRY_BYTES
    entries = [copy[at : at + ENTRY_BYTES] for at in range(first, min(end, len(copy)), ENTRY_BYTES)]
    kept = [entry for entry in entries if number.unpack_from(entry.ljust(ENTRY_BYTES))[0] not in SIDE]
    directory = number.pack(len(kept)) + b"".join(kept) + copy[end : end + 4]
    copy[start : start + len(directory)] = directory
    return bytes(copy)


def check_compression(image: Image, content: bytes | memoryview) -> None:
    """Refuse an opened TIFF whose compression is not read, or whose pixels would come out wrong (Pillow 13.0)."""
    tags = _tags(image)
    compression, bits = tags.get(COMPRESSION, UNCOMPRESSED), max(tags.get(BITS, (1,)))
    if compression == OLD_JPEG:
        raise BadImageError("a TIFF with JPEG of the old kind (compression 6)", "save it with another compression")
    if compression == JPEG and tags.get(ORIENTATION, 1) != 1:  # it is turned twice
        raise BadImageError(f"a TIFF of JPEG parts with Orientation {tags[ORIENTATION]}", "save it upright")
    is_wide = bits > 16 or (bits > 8 and tags.get(SAMPLE_FORMAT, (1,))[0] != 1)
    if compression != UNCOMPRESSED and is_wide and bytes(content[:2]) == b"MM":  # libtiff's bytes are swapped again
        raise BadImageError(f"a compressed big-endian TIFF of signed or {bits}-bit samples", "save it little-endian")


def check_parts(image: Image) -> None:
    """Refuse an opened TIFF that lists other strips or tiles than it needs, or, uncompressed, shorter ones."""
    tags, grid = _tags(image), Grid.of(_tags(image))
    starts, lengths = _listed(tags)
    for listed in (starts, lengths):
        if listed is not None and len(listed) != grid.count:
            size = f"{grid.rows}x{grid.columns} pixels need {grid.count}"
            raise BadImageError(f"a TIFF that lists {len(listed)} {grid.name}, {size}", FIX)
    if tags.get(COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or lengths is None:  # which old files may leave out
        return
    samples = tags.get(SAMPLES, 1) if grid.planes == 1 else 1
    row_bytes = -(-grid.part_columns * samples * max(tags.get(BITS, (1,))) // 8)
    for length, (rows, _) in zip(lengths, grid.sizes(), strict=True):
        if length < rows * row_bytes:
            reason = f"{length} bytes of pixels in one of its {grid.name}, {rows} rows need {rows * row_bytes}"
            raise BadImageError(f"a TIFF cut off: {reason}", FIX)


def check_jpeg(image: Image, content: bytes | memoryview) -> None:
    """Refuse a TIFF whose strips or tiles are JPEG streams of which one is not whole, or too small."""
    tags, grid = _tags(image), Grid.of(_tags(image))
    if tags.get(COMPRESSION) != JPEG:
        return
    import imagecodecs

    starts, lengths = _listed(tags)
    pixels = 0
    for start, length, (rows, columns) in zip(starts, lengths or (), grid.sizes(), strict=True):
        content_of_part = bytes(content[start : start + length])
        part = jpeg.Jpeg.whole(jpeg.with_tables(bytes(tags.get(TABLES, b"")), content_of_part))
        if part.frame.rows < rows or part.frame.columns < columns:
            size = f"{part.frame.rows}x{part.frame.columns} pixels in one of its {grid.name}"
            raise BadImageError(f"a TIFF cut off: {size}, which has {rows}x{columns}", FIX)
        pixels += part.frame.rows * part.frame.columns
        if pixels > 2 * LARGEST_PIXELS:  # the image has no more; tiles may stand out over its edge
            raise BadImageError("a TIFF whose strips or tiles are larger than it", FIX)
        jpeg.check_same(*(imagecodecs.jpeg8_decode(data) for data in (part.content, part.lengthened())))


def _tags(image: Image) -> Tags:
    return image.tag_v2  # ty: ignore[missing-attribute]  (a TIFF's image has it)


def _listed(tags: Tags) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Where the strips or tiles begin, and their lengths where those are told."""
    first, second = (TILES, TILE_BYTES) if TILES in tags else (STRIPS, STRIP_BYTES)
    lengths = tags.get(second)
    return tags[first], None if lengths == (0,) else lengths  # 0 of one strip: up to the file's end
