"""Display shutters of DICOM images (PS3.3, C.7.6.11): what no viewer shows, a collimator's edge mostly.

Rows and columns count from 1 at the upper left pixel; edges, vertices and the circle itself are shown. Of several
shapes only what lies in all of them is shown. The grey that a viewer paints over the rest tells nothing of the breast:
here it becomes background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

EDGES = (
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
)
CENTRE, RADIUS = "CenterOfCircularShutter", "RadiusOfCircularShutter"
VERTICES = "VerticesOfThePolygonalShutter"
KEYWORDS = ("ShutterShape", *EDGES, CENTRE, RADIUS, VERTICES)
FIX = "export the image without its display shutter"
FURTHEST = 1 << 20
"""Pixels from the image's origin: coordinates beyond it are no place near an image."""
MOST_VERTICES = 256
"""Each costs time on every row that it spans."""


def hidden(dataset: Dataset, shape: tuple[int, int]) -> np.ndarray | None:
    """Where an image of ``shape`` (rows, columns) is not shown, (rows, columns) bool; None where it is everywhere.

    Raises BadImageError for a shutter without a meaning, and for one that leaves nothing.
    """
    shapes = dataset.get("ShutterShape")
    if not shapes:
        return None
    names = [shapes] if isinstance(shapes, str) else list(shapes)
    if len(set(names)) != len(names):
        raise BadImageError(f"ShutterShape: {len(names)} shapes, of which one stands there twice", FIX)
    shown = np.ones(shape, bool)
    for name in names:
        if name == "RECTANGULAR":
            shown &= _rectangle(dataset, shape)
        elif name == "CIRCULAR":
            shown &= _circle(dataset, shape)
        elif name == "POLYGONAL":
            shown &= _polygon(dataset, shape)
        else:
            raise BadImageError(f"ShutterShape={name}: none of RECTANGULAR, CIRCULAR, POLYGONAL", FIX)
    if not shown.any():
        raise BadImageError("the display shutter leaves nothing of the image", FIX)
    return None if shown.all() else ~shown


def _rectangle(dataset: Dataset, shape: tuple[int, int]) -> np.ndarray:
    top, bottom, left, right = (_numbers(dataset, keyword, 1)[0] for keyword in EDGES)
    rows, columns = _places(shape)
    return (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)


def _circle(dataset: Dataset, shape: tuple[int, int]) -> np.ndarray:
    (row, column), (radius,) = _numbers(dataset, CENTRE, 2), _numbers(dataset, RADIUS, 1)
    if radius < 0:
        raise BadImageError(f"{RADIUS}={radius}: no radius", FIX)
    rows, columns = _places(shape)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def _polygon(dataset: Dataset, shape: tuple[int, int]) -> np.ndarray:
    places = _numbers(dataset, VERTICES)
    if not 6 <= len(places) <= 2 * MOST_VERTICES or len(places) % 2:
        raise BadImageError(f"{VERTICES}: {len(places)} numbers, no polygon of 3 to {MOST_VERTICES} vertices", FIX)
    drawn = Image.new("1", (shape[1], shape[0]))
    corners = [(column - 1, row - 1) for row, column in zip(places[::2], places[1::2], strict=True)]
    ImageDraw.Draw(drawn).polygon(corners, fill=1, outline=1)
    return np.asarray(drawn)


def _places(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows (rows, 1) and of the columns (1, columns)."""
    return np.arange(1, shape[0] + 1)[:, None], np.arange(1, shape[1] + 1)[None, :]


def _numbers(dataset: Dataset, keyword: str, count: int | None = None) -> list[int]:
    """The whole numbers of an element. Raises BadImageError where they are not ``count``, or none of a place."""
    value = dataset.get(keyword)
    parts = [] if value in (None, "") else [value] if isinstance(value, str | int | float) else list(value)
    try:
        numbers = [int(part) for part in parts]
    except (ValueError, OverflowError) as error:
        raise BadImageError(f"{keyword} holds no whole numbers", FIX) from error
    if (count is not None and len(numbers) != count) or any(abs(number) > FURTHEST for number in numbers):
        raise BadImageError(f"{keyword}={numbers}: no place of the display shutter", FIX)
    return numbers
