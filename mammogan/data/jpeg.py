"""Whether a JPEG stream (ITU-T T.81) is whole: decoders fill what it has lost with grey and say nothing.

Its end mark shows only that the end is there. Three things show that nothing is missing before it:

- its scans cover each component, and in a progressive image every bit of every coefficient;
- a scan with a restart interval has as many restart marks as its size asks for, in their order;
- nothing that stands behind the data of a scan changes the picture. A decoder that has all its data skips what stands
  between them and the next mark; one that lacks data takes it for them. So the picture is decoded a second time with
  other bytes there (``lengthened``), and has to be the same.

The last one holds for each Huffman-coded process: baseline, extended, progressive and lossless, of 8 to 16 bits.
Arithmetic coding may leave its last bytes out, so that nobody can tell: it is refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import numpy as np

from mammogan.data.dicom_file import FIX
from mammogan.data.quarantine import BadImageError

START = b"\xff\xd8"
PROGRESSIVE, ARITHMETIC = (0xC2, 0xC6), (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
LOSSLESS = (0xC3, 0xC7)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Second bytes of the marks that begin a frame; the three others between them are tables."""
RESTART = range(0xD0, 0xD8)
START_SCAN, INTERVAL, LAST = 0xDA, 0xDD, 0xD9
APPLICATIONS = range(0xE0, 0xF0)
JFIF, EXIF, ADOBE = 0xE0, 0xE1, 0xEE
JFIF_BYTES, ADOBE_BYTES = 14, 12
"""Of their segments, without which decoders do not believe one; both say what three components are."""
MARK = 0xFF
"""First byte of a mark; many of them may stand before the second one."""
MOST_SEGMENTS = 2000
"""An image has some ten scans; each of a million empty ones would be decoded over the whole image."""
ALONE = frozenset({0x01, 0xD8, *RESTART})
"""Marks without a length behind them."""
COEFFICIENTS = 64
PROBE = b"\xb5" * 64
"""What is put behind the data of a scan. It begins with a one, for a decoder that lacks data goes on with zeros."""
UNKNOWN = 99
"""Lowest bit of a coefficient that no scan has brought."""


@dataclass(frozen=True)
class Frame:
    """The image, as its frame header describes it (B.2.2)."""

    process: int
    """Second byte of its mark, SOF0 to SOF15."""
    rows: int
    columns: int
    factors: dict[int, tuple[int, int]]
    """Sampling factors of each component, across and down."""

    def units(self, components: tuple[int, ...]) -> int:
        """Minimum coded units of a scan (A.2)."""
        side = 1 if self.process in LOSSLESS else 8
        across, down = (max(factors) for factors in zip(*self.factors.values(), strict=True))
        if len(components) > 1:
            return ceil(self.columns / (side * across)) * ceil(self.rows / (side * down))
        own_across, own_down = self.factors[components[0]]
        columns, rows = ceil(self.columns * own_across / across), ceil(self.rows * own_down / down)
        return ceil(columns / side) * ceil(rows / side)


@dataclass(frozen=True)
class Scan:
    """One pass over some components (B.2.3)."""

    components: tuple[int, ...]
    first: int
    """The first coefficient that it brings..."""
    last: int
    """...and the last one..."""
    low_bit: int
    """...down to this bit."""
    interval: int
    """Units between two restart marks, 0 without."""
    parts: tuple[tuple[int, int], ...]
    """Where its data begin and end between two marks, one pair more than there are restart marks."""
    restarts: tuple[int, ...]
    """Number of each restart mark, 0 to 7."""


@dataclass(frozen=True)
class Jpeg:
    """A stream taken apart."""

    content: bytes
    """From its start mark to its end mark, whatever stands around."""
    frame: Frame
    scans: tuple[Scan, ...]

    @classmethod
    def whole(cls, content: bytes) -> Jpeg:
        """The stream at the beginning of ``content``, as far as its marks tell that it is whole.

        Raises BadImageError where its end mark, a scan or a part of one is missing, and for arithmetic coding.
        """
        jpeg = _parsed(content)
        if jpeg.frame.process in ARITHMETIC:
            raise BadImageError("a JPEG with arithmetic coding is not read", "save it with Huffman coding")
        jpeg._check_scans()
        for scan in jpeg.scans:
            jpeg._check_restarts(scan)
        return jpeg

    def lengthened(self) -> bytes:
        """The same picture if nothing is missing: other bytes stand behind the data of each scan and interval."""
        ends = [end for scan in self.scans for _, end in scan.parts]
        parts = (self.content[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True))
        return PROBE.join(parts)

    def _check_scans(self) -> None:
        lowest = {component: [UNKNOWN] * COEFFICIENTS for component in self.frame.factors}
        for scan in self.scans:
            for component in scan.components:
                if self.frame.process not in PROGRESSIVE:
                    lowest[component] = [0] * COEFFICIENTS
                else:
                    for coefficient in range(scan.first, min(scan.last + 1, COEFFICIENTS)):
                        lowest[component][coefficient] = scan.low_bit
        if not self.scans or any(map(any, lowest.values())):
            raise BadImageError("the JPEG is cut off: a scan is missing before its end mark", FIX)

    def _check_restarts(self, scan: Scan) -> None:
        if not scan.interval:
            return
        count = ceil(self.frame.units(scan.components) / scan.interval) - 1
        restarts = enumerate(scan.restarts[:count])
        if len(scan.restarts) < count or any(restart != number % 8 for number, restart in restarts):
            reason = f"{len(scan.restarts)} restart marks where {count} belong, or out of order"
            raise BadImageError(f"the JPEG is cut off: {reason}", FIX)


def is_jpeg(content: bytes | memoryview) -> bool:
    """Whether the bytes begin as a JPEG does."""
    return bytes(content[:2]) == START


def bare(content: bytes) -> bytes:
    """The stream without the application segments that say nothing of its pixels, over which Pillow may stumble.

    Raises BadImageError where it is cut off, or the segment is that says what its components are.
    """
    marks, components = _Marks.of(content), len(Jpeg.whole(content).frame.factors)
    kept, at = [START], 2
    while True:
        kind, behind = marks.next(at)
        if kind == START_SCAN:
            return b"".join((*kept, content[behind - 2 :]))
        if kind in ALONE:
            at = behind
            continue
        at = behind + max(2, int.from_bytes(content[behind : behind + 2], "big"))
        segment = content[behind + 2 : at]
        if kind == ADOBE and segment.startswith(b"Adobe") and len(segment) < ADOBE_BYTES and components > 1:
            raise BadImageError("a JPEG whose Adobe segment, which says what its components are, is cut off", FIX)
        if _tells(kind, segment):
            kept.append(content[behind - 2 : at])


def _tells(kind: int, segment: bytes) -> bool:
    """Whether a segment may say something of the pixels, or of how the picture lies."""
    if kind == JFIF:
        return segment.startswith(b"JFIF\0") and len(segment) >= JFIF_BYTES
    if kind == ADOBE:
        return segment.startswith(b"Adobe") and len(segment) >= ADOBE_BYTES
    return kind == EXIF or kind not in APPLICATIONS


def with_tables(tables: bytes, content: bytes) -> bytes:
    """A stream with the tables that another one holds, as a TIFF keeps them for all its parts."""
    return START + tables[2:-2] + content[2:] if tables else content


def decode(content: bytes, decoder: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """What ``decoder`` makes of a JPEG. Raises BadImageError where that is not whole, and what ``decoder`` raises."""
    jpeg = Jpeg.whole(content)
    pixels = decoder(jpeg.content)
    check_same(pixels, decoder(jpeg.lengthened()))
    return pixels


def check_same(pixels: np.ndarray, lengthened: np.ndarray) -> None:
    """Raise BadImageError where a picture and its ``lengthened`` copy are not alike."""
    if not np.array_equal(pixels, lengthened):
        raise BadImageError("the JPEG is cut off: compressed data are missing before a mark", FIX)


def _parsed(content: bytes) -> Jpeg:
    """Every mark up to the end mark. Raises BadImageError where that is not reached."""
    marks = _Marks.of(content)
    frame: Frame | None = None
    scans: list[Scan] = []
    interval, at = 0, 2
    for _ in range(MOST_SEGMENTS):
        kind, at = marks.next(at)
        if kind == LAST and frame is not None:
            return Jpeg(content[:at], frame, tuple(scans))
        if kind in ALONE:
            continue
        segment = content[at + 2 : at + int.from_bytes(content[at : at + 2], "big")]
        at += 2 + len(segment)
        if kind in FRAMES:
            frame = _frame(kind, segment)
        elif kind == INTERVAL:
            interval = int.from_bytes(segment[:2], "big")
        elif kind == START_SCAN and frame is not None:
            scans.append(_scan(marks, segment, at, frame, interval))
            at = scans[-1].parts[-1][1]
    raise BadImageError(f"a JPEG of more than {MOST_SEGMENTS} segments", "save it again")


@dataclass(frozen=True)
class _Marks:
    """Each byte 0xFF of a stream with one behind it that makes it a mark."""

    content: bytes
    places: np.ndarray
    """Indices, int64, ascending."""

    @classmethod
    def of(cls, content: bytes) -> _Marks:
        data = np.frombuffer(content, np.uint8)
        signs = np.flatnonzero(data[:-1] == MARK)
        return cls(content, signs[~np.isin(data[signs + 1], (0, MARK))])

    def next(self, at: int) -> tuple[int, int]:
        """Second byte of the first mark from ``at`` on, and what is behind it; decoders skip what stands before it."""
        number = int(np.searchsorted(self.places, at))
        if number == len(self.places):
            raise BadImageError("the JPEG is cut off: no end mark", FIX)
        place = int(self.places[number])
        return self.content[place + 1], place + 2

    def parts(self, start: int) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
        """``Scan.parts`` and ``Scan.restarts`` of data that begin at ``start``."""
        parts, restarts = [], []
        while True:
            kind, behind = self.next(start)
            parts.append((start, max(start, self._before_fill(behind - 2))))
            if kind not in RESTART:
                return tuple(parts), tuple(restarts)
            restarts.append(kind - RESTART[0])
            start = behind

    def _before_fill(self, place: int) -> int:
        """Index of the first of the bytes 0xFF that end at ``place``."""
        while self.content[place - 1] == MARK:
            place -= 1
        return place


def _frame(process: int, segment: bytes) -> Frame:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5] or not segment[5]:
        raise BadImageError("the JPEG is cut off: in its frame header", FIX)
    rows, columns, count = struct.unpack(">HHB", segment[1:6])
    triples = (segment[6 + 3 * index : 9 + 3 * index] for index in range(count))
    factors = {number: (max(1, sampling >> 4), max(1, sampling & 15)) for number, sampling, _ in triples}
    return Frame(process, rows, columns, factors)


def _scan(marks: _Marks, segment: bytes, start: int, frame: Frame, interval: int) -> Scan:
    count = segment[0] if segment else 0
    components = tuple(segment[1 : 1 + 2 * count : 2])
    if len(segment) < 4 + 2 * count or not components or not set(components) <= set(frame.factors):
        raise BadImageError("the JPEG is cut off: in the header of a scan", FIX)
    first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
    parts, restarts = marks.parts(start)
    return Scan(components, first, last, bits & 15, interval, parts, restarts)
