"""Grey pictures in the ordinary formats: PNG, JPEG, TIFF and whatever else Pillow reads; 8-bit PNG out."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mammogan.data.quarantine import BadImageError, warnings_as

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
FIX = "give a readable picture, or leave its row out of the manifest"


def decode(content: bytes | memoryview) -> np.ndarray:
    """Pixels of a picture: (rows, columns), uint8, uint16 or float32. Raises BadImageError and nothing else."""
    try:
        with warnings_as("error"):
            image = Image.open(io.BytesIO(content))
            image.load()
    except Exception as error:  # Pillow raises whatever the broken bytes lead it to
        raise BadImageError(f"unreadable picture ({type(error).__name__})", FIX) from error
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.asarray(image).astype(np.float32)
    return np.asarray(image.convert("L"))


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG of (rows, columns) uint8, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
