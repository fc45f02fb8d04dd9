"""What a radiologist says of an image beside its label: breast density and how easily the finding is seen.

They tell for whom a generator or a classifier works (``evaluation.subgroups``) and decide nothing else: a cell outside
the scale is unknown, as CBIS-DDSM's zeros are, and so is what the rows of one image differ in. No image is left out for
them, and no digest holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mammogan.data import tables

COLUMNS = {"density": ("density", "breast_density"), "subtlety": ("subtlety",)}
"""Names of each descriptor's columns, as ``tables`` normalises them; the calcification CSVs of CBIS-DDSM write
``breast density``, those of masses ``breast_density``, and a table made of both has two such columns."""
DENSITY = re.compile(r"0*(?P<number>[1-4])(\.0*)?|(density |category )?(?P<letter>[a-d])", re.IGNORECASE)
"""BI-RADS: 1 to 4 (fourth edition), a to d (fifth edition)."""
SUBTLETY = re.compile(r"0*(?P<number>[1-5])(\.0*)?")
"""CBIS-DDSM: 1 is subtle, 5 obvious."""


@dataclass(frozen=True)
class Descriptors:
    """Of one finding, or of an image."""

    density: str = ""
    """BI-RADS breast density, ``1`` (almost entirely fatty) to ``4`` (extremely dense); empty where unknown."""
    subtlety: str = ""
    """``1`` (hardly seen) to ``5`` (obvious); empty where unknown."""

    @classmethod
    def parsed(cls, density: str, subtlety: str) -> Descriptors:
        """Of the text of two cells, in any writing of the scales."""
        return cls(_density(density), _subtlety(subtlety))

    @classmethod
    def together(cls, described: Iterable[Descriptors]) -> Descriptors:
        """Of an image: of each what all say that say one, in any order."""
        known = list(described)
        return cls(_agreed(each.density for each in known), _agreed(each.subtlety for each in known))


NOTHING_SAID = Descriptors()


class DescriptorColumns:
    """Where a table has the descriptors: nowhere, in one column, or in several of which each row may use another."""

    def __init__(self, header: Sequence[str]) -> None:
        self._places = {
            name: [place for place, column in enumerate(header) if column in columns]
            for name, columns in COLUMNS.items()
        }

    def read(self, row: tables.Row) -> Descriptors:
        """What a row says; columns that contradict each other say nothing."""
        if not any(self._places.values()):  # most tables have none, and some have a million rows
            return NOTHING_SAID
        density, subtlety = (
            [row.values[place] for place in self._places[name] if place < len(row.values)] for name in COLUMNS
        )
        return Descriptors(_agreed(map(_density, density)), _agreed(map(_subtlety, subtlety)))


def _density(text: str) -> str:
    found = DENSITY.fullmatch(" ".join(text.split()))
    if not found:
        return ""
    return found["number"] or str("abcd".index(found["letter"].lower()) + 1)


def _subtlety(text: str) -> str:
    found = SUBTLETY.fullmatch(text.strip())
    return found["number"] if found else ""


def _agreed(values: Iterable[str]) -> str:
    said = set(values) - {""}
    return said.pop() if len(said) == 1 else ""
