"""Functional groups of enhanced DICOM objects (PS3.3, C.7.6.16): what a classic image says at its top level."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mammogan.data import dicom_file, shutter
from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

MACROS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "FrameDisplayShutterSequence": shutter.KEYWORDS,
}
"""C.7.6.16.2.9, C.7.6.16.2.10 and C.7.6.16.2.16, with the elements by which a stored value is shown."""
SPACINGS = ("PixelMeasuresSequence", "FramePixelDataPropertiesSequence")
"""C.7.6.16.2.1 and C.8.19.6.4, with the distances between pixels."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def raise_to_top(dataset: Dataset) -> None:
    """Put what the groups of the one frame say about its values where a classic image says it.

    Raises BadImageError where two places say different things, because viewers do not agree which one counts.
    """
    for macro, keywords in MACROS.items():
        for group, item in _items(dataset, macro):
            _raise(dataset, item, keywords, f"{group}.{macro}")


def spaced(dataset: Dataset) -> Iterator[Dataset]:
    """Where the distances between pixels may stand: at the top, and in the groups of the one frame.

    They may differ from place to place, in front of the detector and in the patient: no value hangs on them.
    """
    yield dataset
    for macro in SPACINGS:
        yield from (item for _, item in _items(dataset, macro))


def _items(dataset: Dataset, macro: str) -> Iterator[tuple[str, Dataset]]:
    """The macro in the groups of the one frame, each with its group's name."""
    for group in GROUPS:
        for frame in list(dataset.get(group) or ())[:1]:
            for item in list(frame.get(macro) or ())[:1]:
                dicom_file.drop_blanks(item)
                yield group, item


def _raise(dataset: Dataset, item: Dataset, keywords: tuple[str, ...], place: str) -> None:
    for keyword in keywords:
        value, above = item.get(keyword), dataset.get(keyword)
        if value in (None, ""):
            continue
        if above in (None, ""):
            setattr(dataset, keyword, value)
        elif above != value:
            raise BadImageError(f"{keyword}={above}, and {value} in {place}", "export the image again")
