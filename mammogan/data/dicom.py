"""DICOM files from bytes: the header's identity and the pixels as a viewer shows them, in grey.

Larger always means brighter. The stages are modules of their own: bytes to elements (``dicom_file``), elements to
stored values (``stored_pixels``, and ``codestream`` for compressed ones), stored values to grey (``display``).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mammogan.data import dicom_file, display, functional_groups, stored_pixels
from mammogan.data.dicom_file import FIX, is_dicom, is_headless
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

SERIES_UID = 0x0020000E
"""Tag of SeriesInstanceUID."""
BURNED_IN = 0x00280301
"""Tag of BurnedInAnnotation."""
__all__ = ["decode", "is_dicom", "is_headless", "read", "series_uid"]


def load() -> None:
    """Import what decodes, before several threads begin with it: they would meet in its half-imported modules."""
    for name in ("pydicom.encaps", "pydicom.filereader", "pydicom.pixels", "pydicom.values", "imagecodecs"):
        importlib.import_module(name)


def series_uid(content: bytes | memoryview) -> str:
    """SeriesInstanceUID from the beginning of a file. Raises BadImageError where there is none to read."""
    if not is_dicom(content):
        raise BadImageError("not a DICOM file", FIX)
    try:
        uid = str(dicom_file.read(content, last=SERIES_UID).get("SeriesInstanceUID") or "")
    except BadImageError:
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM header ({_brief(error)})", FIX) from error
    if not uid:
        raise BadImageError("the DICOM header has no SeriesInstanceUID", "name the folder by it, or export again")
    return uid


@dataclass(frozen=True)
class Picture:
    """A DICOM file's image."""

    pixels: np.ndarray
    """(rows, columns), uint8, uint16, float32 or float64, larger is brighter."""
    burned_in: bool
    """Whether the file says that its pixels hold text that may name a patient (BurnedInAnnotation, PS3.3 C.7.6.1)."""


def decode(content: bytes | memoryview, *, window: bool = False) -> np.ndarray:
    """The pixels alone, as ``read`` gives them."""
    return read(content, window=window).pixels


def read(content: bytes | memoryview, *, window: bool = False) -> Picture:
    """The image of a DICOM file.

    Where the file declares padding the pixels are a masked array (numpy.ma): padded ones are masked, and under the mask
    they have the darkest value of the others. Pixels that stand uncompressed in ``content`` and need no change are a
    view of it. ``window`` applies the file's own viewing window (VOI LUT): then 0 is black and 65535 white.
    Raises BadImageError, which says what is wrong with the file or not supported, and nothing else.
    """
    try:
        dataset = dicom_file.read(content)
        functional_groups.raise_to_top(dataset)
        layout = stored_pixels.Layout.of(dataset)
        pixels = display.grey(stored_pixels.read(dataset, layout), dataset, layout, window=window)
        return Picture(pixels, _is_burned_in(dataset))
    except BadImageError:
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM file ({_brief(error)})", FIX) from error


def _is_burned_in(dataset: Dataset) -> bool:
    """What the element says as it stands: one of a wrong type is not converted, which could fail."""
    element: Any = dataset.get_item(BURNED_IN)
    value = element.value if element is not None else b""
    text = bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value or "")
    return text.strip(" \0").upper() == "YES"


def _brief(error: Exception) -> str:
    """First line of an error's message, short enough for a cell of a table."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else 'no message'}"
