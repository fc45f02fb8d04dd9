"""One compressed frame of a DICOM file: JPEG, JPEG lossless, JPEG-LS, JPEG 2000, High-Throughput JPEG 2000 or RLE.

imagecodecs decodes (libjpeg-turbo, CharLS, OpenJPEG). What a code stream says of its own size is read first
and must be what the header says, so that no file decides how much memory it takes; a stream without its end, or with
data missing before it, is refused, because some decoders fill what is missing with grey.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from mammogan.data import jpeg
from mammogan.data.dicom_file import FIX
from mammogan.data.quarantine import BadImageError

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
"""Transfer syntaxes whose pixels stand uncompressed (the third deflates the file as a whole)."""
_SYNTAXES = "1.2.840.10008.1.2.4."
JPEG = tuple(_SYNTAXES + last for last in ("50", "51", "57", "70"))
JPEG_LS = tuple(_SYNTAXES + last for last in ("80", "81"))
JPEG_2000 = tuple(_SYNTAXES + last for last in ("90", "91"))
HTJ2K = tuple(_SYNTAXES + last for last in ("201", "202", "203"))
RLE = "1.2.840.10008.1.2.5"
END = b"\xff\xd9"
START_2000 = b"\xff\x4f\xff\x51"
START_TILE = b"\xff\x90"
RLE_HEADER = 64


@dataclass(frozen=True)
class Codestream:
    """What a compressed image says of itself."""

    rows: int
    columns: int
    samples: int
    bits: int
    """Of a sample."""
    signed: bool | None = None
    """Whether its values may be negative; None where the stream does not say."""


def decode(uid: str, encapsulated: bytes, expected: Codestream) -> tuple[np.ndarray, Codestream]:
    """Samples (rows, columns) of the one frame, an integer type, and what the stream says of them.

    ``expected`` has the header's size and the most bits that a sample may have. Raises BadImageError for a syntax that
    is not read, for several frames, for a stream of another size or several samples, and for one that is cut off;
    whatever the decoder raises for broken ones.
    """
    from pydicom.encaps import get_frame, parse_basic_offsets

    if uid not in (*JPEG, *JPEG_LS, *JPEG_2000, *HTJ2K, RLE):
        raise BadImageError(f"transfer syntax {uid or 'not given'} is not read", "export uncompressed or JPEG lossless")
    frames = len(parse_basic_offsets(encapsulated))
    if frames > 1:
        raise BadImageError(f"the pixel data are compressed as {frames} frames", "give one image a file")
    frame = get_frame(encapsulated, 0, number_of_frames=1)
    if uid == RLE:
        return _decode_rle(frame, expected), expected
    stream = frame.rstrip(b"\0")
    header = _size_2000(stream) if uid in (*JPEG_2000, *HTJ2K) else _size_jpeg(stream)
    _check(header, expected)
    return _decoded(uid, stream), header


def _check(header: Codestream, expected: Codestream) -> None:
    if (header.rows, header.columns) != (expected.rows, expected.columns):
        size = f"{header.rows}x{header.columns} pixels are compressed"
        sizes = f"{size}, the header says {expected.rows}x{expected.columns}"
        raise BadImageError(sizes, "export the image again")
    if header.samples != 1:
        raise BadImageError(f"{header.samples} samples a pixel are compressed: colour", "give one grey image a file")
    if header.bits > expected.bits:
        bits = f"{header.bits} bits are compressed, BitsAllocated={expected.bits}"
        raise BadImageError(bits, "export the image again")


def _decoded(uid: str, stream: bytes) -> np.ndarray:
    import imagecodecs

    if uid in JPEG:
        return jpeg.decode(stream, imagecodecs.jpeg8_decode)
    if not stream.endswith(END):
        raise BadImageError("the compressed pixels are cut off: no end mark", FIX)
    if uid in JPEG_LS:
        return imagecodecs.jpegls_decode(stream)
    _check_tiles(stream)
    return imagecodecs.jpeg2k_decode(stream)


def _check_tiles(stream: bytes) -> None:
    """Refuse JPEG 2000 without one of its tiles or of their parts (ITU-T T.800, A.4.2): a decoder leaves them black."""
    start = stream.find(START_2000)
    right, bottom, _, _, width, height, left, top = struct.unpack(">8I", stream[start + 8 : start + 40])
    tiles = ceil((right - left) / max(width, 1)) * ceil((bottom - top) / max(height, 1))
    at = start + 2
    while stream[at : at + 2] not in (START_TILE, b""):
        at += 2 + max(2, int.from_bytes(stream[at + 2 : at + 4], "big"))
    parts: dict[int, int] = {}
    counts: dict[int, int] = {}
    while stream[at : at + 2] == START_TILE and at + 12 <= len(stream):
        tile, length, _, count = struct.unpack(">HIBB", stream[at + 4 : at + 12])
        parts[tile], counts[tile] = parts.get(tile, 0) + 1, max(count, counts.get(tile, 0))
        at = at + max(length, 12) if length else len(stream) - len(END)  # the last one may end where the stream does
    missing = [tile for tile, count in counts.items() if parts[tile] < count]
    if stream[at:] != END or len(parts) < tiles or missing:
        reason = f"{len(parts)} of {tiles} tiles are there" + (f", {len(missing)} of them in part" if missing else "")
        raise BadImageError(f"the compressed pixels are cut off: {reason}", FIX)


def _size_jpeg(stream: bytes) -> Codestream:
    """From the frame header, ITU-T T.81, B.2.2 and T.87, C.2.2: marker SOF0 to SOF15, or SOF55."""
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 10 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, rows, columns, samples = struct.unpack(">BHHB", stream[at + 4 : at + 10])
            return Codestream(rows, columns, samples, bits)
        else:
            at += 2 + length
    raise BadImageError("the compressed pixels are no JPEG stream", FIX)


def _size_2000(stream: bytes) -> Codestream:
    """From the marker SIZ, ITU-T T.800, A.5.1; a few files wrap the stream in JP2 boxes."""
    at = stream.find(START_2000)
    if at < 0 or len(stream) < at + 43:
        raise BadImageError("the compressed pixels are no JPEG 2000 stream", FIX)
    right, bottom, left, top = struct.unpack(">4I", stream[at + 8 : at + 24])
    samples, bits = struct.unpack(">HB", stream[at + 40 : at + 43])
    return Codestream(bottom - top, right - left, samples, (bits & 0x7F) + 1, bool(bits & 0x80))


def _decode_rle(frame: bytes, expected: Codestream) -> np.ndarray:
    """One segment for each byte of a pixel, the highest first (DICOM PS3.5, annex G), inflated to its size at most."""
    import imagecodecs

    width, count = max(1, expected.bits // 8), expected.rows * expected.columns
    header = np.frombuffer(frame[:RLE_HEADER], "<u4")
    if len(header) < RLE_HEADER // 4 or header[0] != width:
        segments = int(header[0]) if len(header) else 0
        raise BadImageError(f"{segments} RLE segments for pixels of {width} bytes", FIX)
    bounds = [*(int(offset) for offset in header[1 : width + 1]), len(frame)]
    planes = np.zeros((count, width), np.uint8)
    for number, (start, end) in enumerate(pairwise(bounds)):
        plane = imagecodecs.packbits_decode(frame[start:end], out=count + 1)
        if len(plane) < count:
            raise BadImageError(f"{len(plane)} pixels are compressed, the header says {count}", FIX)
        planes[:, width - 1 - number] = np.frombuffer(plane, np.uint8, count)
    return planes.view(f"<u{width}").reshape(expected.rows, expected.columns)
