"""Which images of a data set belong together by what the manifest says of them: view, side, density, ...

Words are taken as they are usually written (``R-MLO``, ``l``, ``mass 1+mass 2``). An image of which an attribute is not
known belongs to none of its subgroups, and is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mammogan.config import SUBSETS
from mammogan.data.dataset import Dataset
from mammogan.data.descriptors import Descriptors
from mammogan.results import Attribute, Subgroup, Unknown
from mammogan.statistics import numbered

if TYPE_CHECKING:
    import pandas as pd

KINDS = {"calc": "calcification", "mass": "mass"}
"""Of the findings of a subset of CBIS-DDSM, by the first part of its name."""
VIEW = re.compile(r"(left|right|[lr])?[ _-]*(?P<view>cc|mlo|ml|lm|lmo|fb|sio|iso|xccl|xccm|xcc|at|cv|tan|spot|mag)")
SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}


@dataclass(frozen=True, eq=False)
class Membership:
    """Which images are in a subgroup."""

    subgroup: Subgroup
    members: NDArray[np.bool_]
    """(N,), in the order of the data set."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """All subgroups of a data set, and for how many of its images an attribute is not known."""

    memberships: tuple[Membership, ...]
    """By attribute, then by value."""
    unknown: tuple[Unknown, ...]
    """Of each attribute that is not known of all images."""


NO_GROUPS = Grouping((), ())


def grouping(dataset: Dataset) -> Grouping:
    """Subgroups of a data set's images by each attribute, in the order of ``Attribute``."""
    memberships: list[Membership] = []
    unknown: list[Unknown] = []
    patients = numbered(dataset.patients)
    for attribute, values in _values(dataset.frame).items():
        for value in sorted(set(values) - {""}):
            members = np.array([each == value for each in values])
            counts = int(members.sum()), len(set(patients[members].tolist()))
            memberships.append(Membership(Subgroup(attribute, value, *counts), members))
        if missing := values.count(""):
            unknown.append(Unknown(attribute, missing))
    return Grouping(tuple(memberships), tuple(unknown))


def _values(frame: pd.DataFrame) -> dict[Attribute, list[str]]:
    """Value of each image, empty where it is not known, by attribute."""
    described = [Descriptors.parsed(*cells) for cells in zip(frame["density"], frame["subtlety"], strict=True)]
    kinds = zip(frame["abnormality"], frame["subset"], strict=True)
    return {
        Attribute.VIEW: [_view(text) for text in frame["view"]],
        Attribute.SIDE: [SIDES.get(text.strip().lower(), "") for text in frame["laterality"]],
        Attribute.DENSITY: [each.density for each in described],
        Attribute.ABNORMALITY: [_kind(abnormality, subset) for abnormality, subset in kinds],
        Attribute.SUBTLETY: [each.subtlety for each in described],
    }


def _view(text: str) -> str:
    found = VIEW.fullmatch(text.strip().lower())
    return found["view"] if found else ""


def _kind(abnormality: str, subset: str) -> str:
    """``mass``, ``calcification`` or both; where the words do not say, what the subset of CBIS-DDSM is of."""
    text = abnormality.lower()
    if named := [kind for start, kind in sorted(KINDS.items()) if start in text]:
        return "+".join(named)
    return KINDS.get(subset.partition("-")[0], "") if subset in SUBSETS else ""
