"""DICOM files from bytes: the header's identity and the pixels as a grey image.

CBIS-DDSM is 16-bit, one sample, uncompressed or RLE, in Implicit or Explicit VR Little Endian. Modality rescale is
applied and MONOCHROME1 inverted, so that larger always means brighter (DICOM PS3.3, C.7.6.3.1.2 and C.11.1).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from mammogan.data.quarantine import BadImageError, warnings_as

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE_BYTES = 132
FIX = "download the file again"
LARGEST_PIXELS = 100_000_000
"""Six times the largest mammogram of CBIS-DDSM; a header that claims more is broken."""
LENT_BYTES = 1 << 20
"""Shorter elements are copied: texts and numbers are parsed, which wants bytes."""


class _Lender:
    """A file of bytes in memory that lends its long stretches instead of copying them.

    pydicom keeps what ``read`` returns, so the pixels of an uncompressed file stay where they are: copying 25 MB takes
    as long as resizing them, most of it in page faults.
    """

    def __init__(self, content: bytes | memoryview) -> None:
        self._content = memoryview(content)
        self._at = 0

    def read(self, count: int = -1) -> bytes | memoryview:
        end = len(self._content) if count < 0 else self._at + count
        stretch = self._content[self._at : end]
        self._at += len(stretch)
        return stretch if len(stretch) >= LENT_BYTES else bytes(stretch)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._content)}[whence]
        if start + offset < 0:
            raise ValueError(f"offset={offset}: it points before the file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at


def is_dicom(content: bytes | memoryview) -> bool:
    """Whether the bytes start as a DICOM file: a preamble of 128 bytes, then ``DICM``."""
    return content[128:PREAMBLE_BYTES] == b"DICM"


def series_uid(content: bytes) -> str:
    """SeriesInstanceUID from the beginning of a file. Raises BadImageError where there is none to read."""
    import pydicom

    if not is_dicom(content):
        raise BadImageError("not a DICOM file", FIX)
    try:
        with warnings_as("ignore"):
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            return str(header.SeriesInstanceUID)
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM header ({_brief(error)})", FIX) from error


def decode(content: bytes | memoryview, *, window: bool = False) -> np.ndarray:
    """Pixels of a DICOM file: (rows, columns), uint8, uint16 or float32, larger is brighter.

    Pixels that stand uncompressed in ``content`` are a view of it. ``window`` applies the file's own viewing
    window (VOI LUT). Raises BadImageError, which says what is wrong with the file, and nothing else.
    """
    import pydicom

    try:
        with warnings_as("ignore"):
            file: Any = _Lender(content)  # pydicom asks for bytes, and does with any buffer
            dataset = pydicom.dcmread(file)
            if "PixelData" not in dataset:
                raise BadImageError("the DICOM file holds no pixels", FIX)
            pixels = _stored_values(dataset, window)
    except BadImageError:
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM file ({_brief(error)})", FIX) from error
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = pixels.max() - pixels
    small = pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2
    return pixels.astype(pixels.dtype.newbyteorder("=") if small else np.float32, copy=False)


def _stored_values(dataset: Dataset, window: bool) -> np.ndarray:
    """(rows, columns) after the modality LUT or rescale, and the VOI LUT where wanted."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.PixelData = bytes(dataset.PixelData)  # what was lent cannot be searched for its fragments
    rows, columns = dataset.Rows, dataset.Columns
    if rows * columns > LARGEST_PIXELS:
        raise BadImageError(f"{rows}x{columns} pixels", f"give at most {LARGEST_PIXELS} pixels an image")
    pixels = apply_modality_lut(pixel_array(dataset, view_only=True), dataset)
    if pixels.ndim != 2:
        raise BadImageError(f"{pixels.ndim}-dimensional pixels", "give one grey image a file")
    return apply_voi_lut(pixels, dataset) if window else pixels


def _brief(error: Exception) -> str:
    """First line of an error's message, short enough for a cell of a table."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else 'no message'}"
