"""DICOM files from bytes: the header's identity and the pixels as a viewer shows them, in grey.

Larger always means brighter. The stages are modules of their own: bytes to elements (``dicom_file``), elements to
stored values (``stored_pixels``, and ``codestream`` for compressed ones), stored values to grey (``display``).
"""

from __future__ import annotations

import importlib

import numpy as np

from mammogan.data import dicom_file, display, stored_pixels
from mammogan.data.dicom_file import FIX, is_dicom
from mammogan.data.quarantine import BadImageError

SERIES_UID = 0x0020000E
"""Tag of SeriesInstanceUID."""
__all__ = ["decode", "is_dicom", "series_uid"]


def load() -> None:
    """Import what decodes, before several threads begin with it: they would meet in its half-imported modules."""
    for name in ("pydicom.encaps", "pydicom.filereader", "pydicom.pixels", "pydicom.values", "imagecodecs"):
        importlib.import_module(name)


def series_uid(content: bytes | memoryview) -> str:
    """SeriesInstanceUID from the beginning of a file. Raises BadImageError where there is none to read."""
    if not is_dicom(content):
        raise BadImageError("not a DICOM file", FIX)
    try:
        found = str(dicom_file.read(content, last=SERIES_UID).get("SeriesInstanceUID") or "")
    except BadImageError:
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM header ({_brief(error)})", FIX) from error
    if not found:
        raise BadImageError("the DICOM header has no SeriesInstanceUID", "name the folder by it, or export again")
    return found


def decode(content: bytes | memoryview, *, window: bool = False) -> np.ndarray:
    """Pixels of a DICOM file: (rows, columns), uint8, uint16, float32 or float64, larger is brighter.

    Where the file declares padding the array is a masked one (numpy.ma): padded pixels are masked, and under the mask
    they have the darkest value of the others. Pixels that stand uncompressed in ``content`` and need no change are a
    view of it. ``window`` applies the file's own viewing window (VOI LUT): then 0 is black and 65535 white.
    Raises BadImageError, which says what is wrong with the file or not supported, and nothing else.
    """
    try:
        dataset = dicom_file.read(content)
        layout = stored_pixels.Layout.of(dataset)
        return display.grey(stored_pixels.read(dataset, layout), dataset, layout, window=window)
    except BadImageError:
        raise
    except Exception as error:  # pydicom raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable DICOM file ({_brief(error)})", FIX) from error


def _brief(error: Exception) -> str:
    """First line of an error's message, short enough for a cell of a table."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160] if text else 'no message'}"
