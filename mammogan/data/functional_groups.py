"""Functional groups of enhanced DICOM objects (PS3.3, C.7.6.16): what a classic image says at its top level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammogan.data import shutter
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

MACROS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "FrameDisplayShutterSequence": shutter.KEYWORDS,
}
"""C.7.6.16.2.9, C.7.6.16.2.10 and C.7.6.16.2.16, with the elements by which a stored value is shown."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def raise_to_top(dataset: Dataset) -> None:
    """Put what the groups of the one frame say about its values where a classic image says it.

    Raises BadImageError where two places say different things, because viewers do not agree which one counts.
    """
    for group in GROUPS:
        for frame in list(dataset.get(group) or ())[:1]:
            for macro, keywords in MACROS.items():
                for item in list(frame.get(macro) or ())[:1]:
                    _raise(dataset, item, keywords, f"{group}.{macro}")


def _raise(dataset: Dataset, item: Dataset, keywords: tuple[str, ...], place: str) -> None:
    for keyword in keywords:
        value, above = item.get(keyword), dataset.get(keyword)
        if value in (None, ""):
            continue
        if above in (None, ""):
            setattr(dataset, keyword, value)
        elif above != value:
            raise BadImageError(f"{keyword}={above}, and {value} in {place}", "export the image again")
