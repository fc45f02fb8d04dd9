"""The stored values of a DICOM image: what its pixel data hold before anything is done to show them.

Bits Allocated, Bits Stored, High Bit and Pixel Representation say where in each cell a value stands (DICOM PS3.5,
8.1.1); what else stands there, such as an overlay of old files, is no part of it. One grey frame is read; colour and
several frames are refused by name before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mammogan.data import codestream
from mammogan.data.codestream import Codestream
from mammogan.data.dicom_file import FIX, LARGEST_BYTES, LARGEST_PIXELS
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

ALLOCATED = (1, 8, 16, 32)
"""Bits a pixel that are read."""


@dataclass(frozen=True)
class Layout:
    """Where the values of an image stand in its pixel data."""

    rows: int
    columns: int
    allocated: int
    """Bits a pixel takes, one of ALLOCATED."""
    stored: int
    """Bits a value takes."""
    high: int
    """Number of a value's highest bit, from 0."""
    signed: bool

    @classmethod
    def of(cls, dataset: Dataset) -> Layout:
        """The layout that a header tells. Raises BadImageError for all but one grey image of a readable size."""
        _check_presence(dataset)
        frames, samples = _number(dataset, "NumberOfFrames", 1), _number(dataset, "SamplesPerPixel", 1)
        rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
        allocated = _number(dataset, "BitsAllocated")
        if rows * columns > LARGEST_PIXELS or rows * columns * max(frames, 1) * samples * allocated > 8 * LARGEST_BYTES:
            size = f"{rows}x{columns} pixels, {frames} frames of {samples} samples of {allocated} bits"
            raise BadImageError(size, f"give at most {LARGEST_PIXELS} pixels and {LARGEST_BYTES} bytes an image")
        if frames > 1:
            raise BadImageError(f"NumberOfFrames={frames}", "give one image a file")
        if samples != 1:
            raise BadImageError(f"SamplesPerPixel={samples}: the image is in colour", "give one grey image a file")
        stored = _number(dataset, "BitsStored", allocated)
        layout = cls(
            rows,
            columns,
            allocated,
            stored,
            _number(dataset, "HighBit", stored - 1),
            bool(_number(dataset, "PixelRepresentation")),
        )
        layout._check()
        return layout

    def _check(self) -> None:
        if min(self.rows, self.columns) < 1:
            raise BadImageError(f"Rows={self.rows}, Columns={self.columns}: no pixels", FIX)
        if self.allocated not in ALLOCATED:
            readable = ", ".join(map(str, ALLOCATED))
            raise BadImageError(f"BitsAllocated={self.allocated}", f"export with one of {readable} bits a pixel")
        if not self.stored - 1 <= self.high < self.allocated or self.stored < 1:
            reason = f"BitsAllocated={self.allocated}, BitsStored={self.stored}, HighBit={self.high}"
            raise BadImageError(f"{reason}: a value does not fit its cell", "export the image again")

    @property
    def cell(self) -> np.dtype:
        """Unsigned type of a cell."""
        return np.dtype(f"u{max(1, self.allocated // 8)}")

    @property
    def extremes(self) -> tuple[int, int]:
        """The least and the greatest value that may be stored."""
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)

    def values(self, cells: np.ndarray) -> np.ndarray:
        """Stored values, of ``cells``' width, signed where the image is: the value's bits alone, sign extended."""
        width = 8 * self.cell.itemsize
        if self.signed:
            if self.stored == width:
                return cells.view(f"i{self.cell.itemsize}")
            return (cells << (width - 1 - self.high)).view(f"i{self.cell.itemsize}") >> (width - self.stored)
        shift, top = self.high + 1 - self.stored, (1 << self.stored) - 1
        if shift == 0 and (self.stored == width or cells.size == 0 or cells.max() <= top):
            return cells
        return (cells >> shift) & self.cell.type(top)

    def value(self, number: int) -> int:
        """The stored value of one cell that holds ``number``."""
        cells = np.array([number & ((1 << 8 * self.cell.itemsize) - 1)], self.cell)
        return int(self.values(cells)[0])


def read(dataset: Dataset, layout: Layout) -> np.ndarray:
    """Stored values (rows, columns), an integer type of ``layout``'s width; a view of the file where that does.

    Raises BadImageError where the pixels are too few, or compressed in a way that is not read.
    """
    uid = str(dataset.file_meta.get("TransferSyntaxUID") or "") if hasattr(dataset, "file_meta") else ""
    if uid in codestream.NATIVE or (not uid and not dataset["PixelData"].is_undefined_length):
        return layout.values(_native(dataset, layout))
    samples, header = codestream.decode(uid, bytes(dataset.PixelData), _expected(layout))
    if header.bits <= layout.stored:  # a code stream's samples stand at the right, whatever the cell's high bit
        layout = replace(layout, high=layout.stored - 1)
    if uid != codestream.RLE:  # whose bytes are cells as they stand uncompressed
        _check_samples(samples, header, layout)
    return layout.values(samples.astype(layout.cell, copy=False))


def _check_samples(samples: np.ndarray, header: Codestream, layout: Layout) -> None:
    """Refuse samples of a stream that says otherwise than the header what they are, where that changes their value."""
    low, high = int(samples.min()), int(samples.max())
    negative = low < 0 if header.signed else high >= 1 << header.bits - 1
    if header.signed is not None and header.signed != layout.signed and negative:
        kind = "signed" if header.signed else "unsigned"
        reason = f"the compressed values are {kind}, PixelRepresentation={int(layout.signed)} says they are not"
        raise BadImageError(reason, "export the image again")
    if header.bits < layout.stored and layout.signed and samples.dtype.kind == "u":
        raise BadImageError(f"BitsStored={layout.stored}, but {header.bits} bits are compressed", "export it again")
    bits = layout.high + 1
    is_plain = low >= 0 and high < 1 << bits
    is_extended = layout.signed and not is_plain and _is_extended(samples, header.bits, bits)
    if header.bits > bits and not (is_plain or is_extended):
        reason = f"{header.bits} bits are compressed, with values that BitsStored={layout.stored} has no room for"
        raise BadImageError(reason, "export the image again")


def _is_extended(samples: np.ndarray, width: int, bits: int) -> bool:
    """Whether the samples, ``width`` bits wide, are signed values of so many bits."""
    values = samples.astype(np.int64)
    values = np.where(values >= 1 << width - 1, values - (1 << width), values)
    return int(values.min()) >= -(1 << bits - 1) and int(values.max()) < 1 << bits - 1


def _check_presence(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        other = next((name for name in ("FloatPixelData", "DoubleFloatPixelData") if name in dataset), "")
        if other:
            raise BadImageError(f"{other}: pixels of floating point", "export as 16-bit grey")
        raise BadImageError("the DICOM file holds no pixels", FIX)


def _expected(layout: Layout) -> Codestream:
    return Codestream(layout.rows, layout.columns, 1, layout.allocated)


def _native(dataset: Dataset, layout: Layout) -> np.ndarray:
    """Cells (rows, columns) that stand uncompressed in the file, in this machine's byte order."""
    content = memoryview(dataset.PixelData)
    count = layout.rows * layout.columns
    wanted = -(-count * layout.allocated // 8)
    if len(content) < wanted:
        reason = f"{len(content)} bytes of pixels, {layout.rows}x{layout.columns} need {wanted}"
        raise BadImageError(reason, FIX)
    big = dataset.original_encoding[1] is False
    if big and layout.allocated <= 8 and dataset["PixelData"].VR == "OW":  # bytes stand in words, turned round
        content = memoryview(np.frombuffer(content[: len(content) // 2 * 2], ">u2").astype("<u2").tobytes())
    if layout.allocated == 1:
        bits = np.unpackbits(np.frombuffer(content[:wanted], np.uint8), count=count, bitorder="little")
        return bits.reshape(layout.rows, layout.columns)
    order = layout.cell.newbyteorder(">" if big else "<")
    cells = np.frombuffer(content, order, count).reshape(layout.rows, layout.columns)
    return cells.astype(layout.cell, copy=False)


def _number(dataset: Dataset, keyword: str, missing: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None and missing is not None:
        return missing
    if value is None:
        raise BadImageError(f"the DICOM header has no {keyword}", FIX)
    try:
        number = int(str(value))
    except ValueError:
        raise BadImageError(f"{keyword}={value!r}: not a whole number", "export the image again") from None
    if number < 0:
        raise BadImageError(f"{keyword}={number}: negative", "export the image again")
    return number
