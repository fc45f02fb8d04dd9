"""Whether a PNG (PNG specification, third edition) holds all its pixels: a decoder leaves black what a stream lacks.

The data of all IDAT chunks are one zlib stream (10.1). It is inflated in pieces that are counted and not kept. Chunks
that say what the pixels are, or how the picture lies, are believed only whole; the others may be damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mammogan.data.dicom_file import FIX
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel of each colour type (11.2.1)."""
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column of each pass of an interlaced image, and the steps between its rows and columns (8.1)."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
START = len(SIGNATURE)
"""Bytes before the first chunk."""
BELIEVED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"fdAT"))
"""What the samples mean, and whether there is one picture. IDAT's stream has a checksum of its own."""
TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
TURNING = frozenset((b"exif", b"Raw profile type exif", b"XML:com.adobe.xmp"))
"""Keywords of the texts out of which Pillow takes an orientation where there is no eXIf chunk."""
ORIENTATION = (b"\x12\x01", b"\x01\x12")
"""EXIF's tag in both byte orders."""
LONGEST_KEYWORD = 79
FED_BYTES, PIECE_BYTES = 1 << 16, 1 << 20
"""Given to the inflater at once, and got from it at most: no stream decides how much memory it takes."""


@dataclass(frozen=True)
class Header:
    """The IHDR chunk (11.2.1)."""

    columns: int
    rows: int
    bits: int
    """Of a sample."""
    colour: int
    interlaced: bool

    @classmethod
    def of(cls, content: bytes | memoryview) -> Header:
        """Of a file whose first chunk it is. Raises BadImageError where another one may contradict it."""
        names = []
        for name, _ in chunks(content):
            if name == b"IDAT":
                break
            names.append(name)
        if names[:1] != [b"IHDR"] or b"IHDR" in names[1:]:
            raise BadImageError("a PNG that does not begin with its one IHDR chunk", FIX)
        columns, rows, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, START + 8)
        return cls(columns, rows, bits, colour, interlaced != 0)

    @property
    def stream_bytes(self) -> int:
        """Of the inflated stream: every row has a byte for its filter before its pixels (9.2)."""
        pixel_bits = self.bits * SAMPLES.get(self.colour, 1)
        total = 0
        for row, column, down, across in PASSES if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(self.rows - row) // down), -(-(self.columns - column) // across)
            if rows > 0 and columns > 0:
                total += rows * (1 + -(-columns * pixel_bits // 8))
        return total


def is_png(content: bytes | memoryview) -> bool:
    """Whether the bytes begin as a PNG does."""
    return bytes(content[:START]) == SIGNATURE


def chunks(content: bytes | memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and data of each chunk, the last one as far as it goes."""
    for name, chunk in _whole_chunks(content):
        yield name, chunk[8 : 8 + int.from_bytes(chunk[:4], "big")]


def _whole_chunks(content: bytes | memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and bytes of each chunk, from its length to its checksum, the last one as far as it goes."""
    content, at = memoryview(content), START
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield bytes(content[at + 4 : at + 8]), content[at:end]
        at = end


def check_chunks(content: bytes | memoryview) -> None:
    """Refuse a PNG of which a chunk is damaged that says what the pixels are, or may say how the picture lies."""
    for name, chunk in _whole_chunks(content):
        if name == b"IEND":
            return
        if _is_believed(name, chunk[8:-4]) and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise BadImageError(f"a PNG whose {name.decode()} chunk is damaged", FIX)


def bare(content: bytes | memoryview) -> bytes:
    """The PNG without the chunks that say nothing of its pixels, over which Pillow may stumble."""
    kept = [chunk for name, chunk in _whole_chunks(content) if name[:1].isupper() or _is_believed(name, chunk[8:-4])]
    return b"".join((SIGNATURE, *kept))


def _is_believed(name: bytes, data: memoryview) -> bool:
    if name in TEXTS:
        return bytes(data[: LONGEST_KEYWORD + 1]).partition(b"\0")[0] in TURNING
    return name in BELIEVED or (name == b"eXIf" and any(tag in bytes(data) for tag in ORIENTATION))


def has_more_behind(content: bytes | memoryview) -> bool:
    """Whether anything but the end stands behind the pixels."""
    return [name for name, _ in chunks(content)][-2:] != [b"IDAT", b"IEND"]


def check_header(image: Image, content: bytes | memoryview) -> None:
    """Refuse an opened PNG that Pillow would decode otherwise than its header says.

    It believes the last of several headers, the place of an animation's frame, and texts with the names of its fields.
    """
    header = Header.of(content)
    told = (header.columns, header.rows)
    tiles: Any = image.tile  # ty: ignore[missing-attribute]  (an opened file's image has it)
    is_interlaced = bool(image.info.get("interlace"))
    if is_interlaced != header.interlaced or [tile.extents for tile in tiles] != [(0, 0, *told)]:
        raise BadImageError("a PNG whose chunks contradict its header", FIX)


def check_whole(content: bytes | memoryview) -> None:
    """Refuse a PNG whose stream is shorter than its rows. Raises zlib.error for a broken one."""
    header = Header.of(content)
    missing, inflater = header.stream_bytes, zlib.decompressobj()
    for data in _fed(content):
        while len(data) and missing > 0 and not inflater.eof:
            missing -= len(inflater.decompress(data, PIECE_BYTES))
            data = inflater.unconsumed_tail
        if missing <= 0:
            return
    missing -= len(inflater.flush())
    if missing > 0:
        held = header.stream_bytes - missing
        reason = f"a PNG cut off: {held} bytes of pixels, {header.rows}x{header.columns} need {header.stream_bytes}"
        raise BadImageError(reason, FIX)


def _fed(content: bytes | memoryview) -> Iterator[memoryview]:
    """The data of the IDAT chunks, which stand one behind the other, a little at a time."""
    seen = False
    for name, data in chunks(content):
        if name == b"IDAT":
            seen = True
            yield from (data[at : at + FED_BYTES] for at in range(0, len(data), FED_BYTES))
        elif seen:
            return
