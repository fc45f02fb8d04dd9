"""Stored values of a DICOM image as a viewer shows them: grey, larger is brighter.

The order is DICOM's (PS3.4, N.2): padding (PS3.3, C.7.5.1.1.2) and what a display shutter hides aside, modality table
or rescale (C.11.1), where wanted the VOI table or window (C.11.2), MONOCHROME1 inverted (C.7.6.3.1.2). All of it is a
function of the stored value alone, so for up to 16 bits it is worked out once a value, in float64, and looked up: no
integer overflows. PALETTE COLOR is shown where its colours are grey; colour is refused.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mammogan.data import functional_groups, lookup_table, shutter
from mammogan.data.lookup_table import LookupTable
from mammogan.data.quarantine import BadImageError
from mammogan.data.stored_pixels import Layout

if TYPE_CHECKING:
    from pydicom import Dataset

WHITE = 65535.0
"""What the brightest value becomes where the viewing window is applied."""
BLOCK_ROWS = 256
EXACT = 2.0**-20
"""Share of the grey range by which float32 may be off: far below a grey level of 16 bits."""


SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Distances of the rows and of the columns, in this order (PS3.3, 10.7.1.3)."""
SQUARE = 1.01
"""Ratio of a pixel's sides up to which it is square: far below what can be seen, above what rounding makes."""
CONTRADICTIONS = (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE"))
"""DICOM PS3.3, C.8.11.3.1.2, allows none of them; some viewers follow the first element, some the second."""


@dataclass(frozen=True)
class Window:
    """A linear or sigmoid viewing window (DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3)."""

    centre: float
    width: float
    function: str

    @classmethod
    def of(cls, dataset: Dataset) -> Window | None:
        """The first window of the file, None without one. Raises BadImageError for one without a meaning."""
        centre, width = (_first(dataset, keyword) for keyword in ("WindowCenter", "WindowWidth"))
        if centre is None or width is None:
            return None
        function = str(dataset.get("VOILUTFunction") or "LINEAR")
        if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise BadImageError(f"VOILUTFunction={function!r}", "use data.window=ignore")
        if not (np.isfinite([centre, width]).all() and width >= (1 if function == "LINEAR" else 1e-12)):
            raise BadImageError(f"WindowCenter={centre:g}, WindowWidth={width:g}: no window", "use data.window=ignore")
        return cls(centre, width, function)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Values of any range, float64, to [0, WHITE]."""
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):
                return WHITE / (1 + np.exp(-4 * (values - self.centre) / self.width))
        exact = self.function == "LINEAR_EXACT"
        low = self.centre - self.width / 2 if exact else self.centre - 0.5 - (self.width - 1) / 2
        span = self.width if exact else self.width - 1
        if span == 0:
            return np.where(values > low, WHITE, 0.0)
        return np.clip((values - low) / span, 0, 1) * WHITE


@dataclass(frozen=True)
class Pipeline:
    """What is done to a stored value to show it."""

    modality: LookupTable | None
    slope: float
    intercept: float
    voi: LookupTable | Window | None
    inverted: bool

    @classmethod
    def of(cls, dataset: Dataset, layout: Layout, *, window: bool) -> Pipeline:
        """The stages that a header asks for. Raises BadImageError for one without a meaning."""
        modality = lookup_table.of(dataset, "ModalityLUTSequence", signed=layout.signed)
        slope, intercept = (_first(dataset, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
        slope, intercept = (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
        if modality is None and not (np.isfinite([slope, intercept]).all() and slope != 0):
            raise BadImageError(f"RescaleSlope={slope:g}, RescaleIntercept={intercept:g}", "export the image again")
        voi: LookupTable | Window | None = None
        if window:
            ends = (slope * end + intercept for end in layout.extremes)
            signed = layout.signed if modality is not None else min(ends) < 0
            voi = lookup_table.of(dataset, "VOILUTSequence", signed=signed) or Window.of(dataset)
        return cls(modality, slope, intercept, voi, dataset.PhotometricInterpretation == "MONOCHROME1")

    @property
    def does_nothing(self) -> bool:
        """Whether a stored value is shown as it is."""
        unscaled = self.modality is None and (self.slope, self.intercept) == (1, 0)
        return unscaled and self.voi is None and not self.inverted

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Stored values to shown ones, float64, before the inversion."""
        shown = values.astype(np.float64)
        shown = shown * self.slope + self.intercept if self.modality is None else self.modality.apply(shown)
        if isinstance(self.voi, LookupTable):
            return self.voi.apply(shown) * (WHITE / self.voi.top)
        return shown if self.voi is None else self.voi.apply(shown)

    def finish(self, shown: np.ndarray) -> None:
        """Invert in place what ``apply`` gave where the file asks for it: the brightest becomes the darkest."""
        if self.inverted:
            np.subtract(shown.max() if self.voi is None else WHITE, shown, out=shown)


def grey(stored: np.ndarray, dataset: Dataset, layout: Layout, *, window: bool) -> np.ndarray:
    """(rows, columns) uint8, uint16, float32 or float64 from stored values.

    What the file declares as padding, or hides behind a shutter, is masked. Raises BadImageError for colour, and for a
    stage without a meaning.
    """
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"):
        raise BadImageError(f"PhotometricInterpretation={photometric!r}: not grey", "give one grey image a file")
    _require_square(dataset)
    if dataset.get("PixelPresentation") in ("COLOR", "MIXED"):
        raise BadImageError(f"PixelPresentation={dataset.PixelPresentation}: shown in colour", "give a grey image")
    shape = dataset.get("PresentationLUTShape")
    if (photometric, shape) in CONTRADICTIONS:
        raise BadImageError(f"{photometric} with PresentationLUTShape={shape}: viewers disagree", "drop one of the two")
    if dataset.get("PresentationLUTSequence"):
        raise BadImageError("PresentationLUTSequence: a table that is not applied", "export the image without it")
    background = _background(stored, dataset, layout)
    if photometric == "PALETTE COLOR":
        return _aside(_from_palette(stored, dataset), background)
    pipeline = Pipeline.of(dataset, layout, window=window)
    if pipeline.does_nothing and stored.dtype.kind == "u" and stored.dtype.itemsize <= 2:
        return _aside(stored, background)
    low, high = _range(stored, background)
    if stored.dtype.itemsize > 2:
        shown = np.empty(stored.shape)
        for block in _blocks(stored):
            shown[block] = pipeline.apply(np.clip(stored[block], low, high))
        pipeline.finish(shown)
    else:
        levels = pipeline.apply(np.arange(low, high + 1))
        pipeline.finish(levels)
        shown = _looked_up(stored, levels, low)
    return _aside(shown, background)


def _blocks(pixels: np.ndarray) -> list[slice]:
    """A few rows at a time: what is worked out in eight bytes a pixel is never a whole image's."""
    return [slice(start, start + BLOCK_ROWS) for start in range(0, len(pixels), BLOCK_ROWS)]


def _looked_up(stored: np.ndarray, shown: np.ndarray, low: int) -> np.ndarray:
    """``shown[stored - low]`` in the smallest type that tells its values apart; padding is clipped to the ends."""
    table = _narrowed(shown)
    pixels = np.empty(stored.shape, table.dtype)
    for block in _blocks(stored):
        index = stored[block].astype(np.intp)
        index -= low
        np.take(table, index, out=pixels[block], mode="clip")
    return pixels


def _narrowed(shown: np.ndarray) -> np.ndarray:
    for kind in (np.uint8, np.uint16):
        if shown.min() >= 0 and shown.max() <= np.iinfo(kind).max and (shown == np.rint(shown)).all():
            return shown.astype(kind)
    with np.errstate(over="ignore"):
        narrow = shown.astype(np.float32)
    return narrow if np.abs(narrow - shown).max() <= EXACT * np.ptp(shown) else shown


def _background(stored: np.ndarray, dataset: Dataset, layout: Layout) -> np.ndarray | None:
    """Where the image is padded or behind a display shutter, (rows, columns) bool; None where nowhere.

    Raises BadImageError where everywhere.
    """
    padded, hidden = _padding(stored, dataset, layout), shutter.hidden(dataset, stored.shape)
    if padded is None or hidden is None:
        return hidden if padded is None else padded
    background = padded | hidden
    if background.all():
        raise BadImageError("what the display shutter shows is padding", "export the image again")
    return background


def _padding(stored: np.ndarray, dataset: Dataset, layout: Layout) -> np.ndarray | None:
    """Where the image is padded, (rows, columns) bool; None where nowhere. Raises BadImageError where everywhere.

    The value may be written as signed or unsigned whatever the pixels are: its bits are read as a pixel's.
    """
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    first = layout.value(_cell(value))
    limit = dataset.get("PixelPaddingRangeLimit")
    second = first if limit is None else layout.value(_cell(limit))
    low, high = min(first, second), max(first, second)
    padded = stored == first if low == high else (stored >= low) & (stored <= high)
    if padded.all():
        raise BadImageError(f"every pixel is padding ({low} to {high})", "export the image again")
    return padded if padded.any() else None


def _cell(value: bytes | int) -> int:
    return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)


def _require_square(dataset: Dataset) -> None:
    """Refuse pixels that a viewer would stretch (PixelAspectRatio, PS3.3, C.7.6.3.1.7), by any of their sides told."""
    ratio = dataset.get("PixelAspectRatio")
    if ratio and len(sides := list(ratio)) == 2 and sides[0] != sides[1]:
        raise _not_square("PixelAspectRatio", "\\".join(map(str, sides)))
    for place in functional_groups.spaced(dataset):
        for keyword in SPACINGS:
            sides = _spacing(place, keyword)
            if max(sides) > SQUARE * min(sides):
                raise _not_square(keyword, "\\".join(f"{side:g}" for side in sides))


def _not_square(keyword: str, told: str) -> BadImageError:
    return BadImageError(f"{keyword}={told}: pixels that are not square", "resample the image to square ones")


def _spacing(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Distance of rows and of columns, mm; two ones where the file does not tell two lengths.

    Out of the element as it stands: what is no number there says nothing of the image, and must not fail.
    """
    element: Any = dataset.get_item(keyword)
    value = element.value if element is not None else None
    if isinstance(value, bytes | memoryview):
        value = bytes(value).decode("latin-1").strip(" \0").split("\\")
    with suppress(TypeError, ValueError):
        first, second = (float(side) for side in value or ())
        if 0 < first < np.inf and 0 < second < np.inf:
            return first, second
    return 1.0, 1.0


def _aside(shown: np.ndarray, background: np.ndarray | None) -> np.ndarray:
    """The image with its background masked and as dark as the darkest pixel of the rest."""
    if background is None:
        return shown
    darkest = shown.min(where=~background, initial=shown.max())
    return np.ma.MaskedArray(np.where(background, darkest, shown), background)


def _range(stored: np.ndarray, background: np.ndarray | None) -> tuple[int, int]:
    """Least and greatest stored value that is no background."""
    image = stored if background is None else stored[~background]
    return int(image.min()), int(image.max())


def _from_palette(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Grey of a palette's entries (DICOM PS3.3, C.7.9)."""
    from pydicom.pixels import apply_color_lut

    if stored.dtype.itemsize > 2:
        raise BadImageError("PALETTE COLOR with 32 bits a pixel", "give a grey image")
    low, high = int(stored.min()), int(stored.max())
    levels = np.arange(low, high + 1).astype(stored.dtype)[None]
    colours = apply_color_lut(levels, dataset)[0]
    present = np.unique(stored).astype(np.intp) - low
    if (colours[present] != colours[present, :1]).any():
        raise BadImageError("PALETTE COLOR: the palette is in colour", "give a grey image")
    return _looked_up(stored, colours[:, 0].astype(np.float64), low)


def _first(dataset: Dataset, keyword: str) -> float | None:
    """An element's number, the first of several; None without one, which an empty element is too (DICOM PS3.5, 7.4)."""
    value = dataset.get(keyword)
    if value is None:
        return None
    try:
        return float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        raise BadImageError(f"{keyword}={value!r}: not a number", "export the image again") from None
