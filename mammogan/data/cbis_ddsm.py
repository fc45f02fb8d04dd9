"""The case-description CSVs of CBIS-DDSM, and the images and labels that they ask for.

A row is an abnormality. An image is malignant (1) if any of its abnormalities is MALIGNANT, else benign (0), and
BENIGN_WITHOUT_CALLBACK counts as benign; on the calcification training set this gives exactly the 718 and 509
images that the paper counts. The files hold quoted fields with newlines, write ``breast density`` with and without
an underscore, and sometimes swap the paths of a crop and its mask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mammogan import storage
from mammogan.config import SUBSETS
from mammogan.data import tables
from mammogan.data.quarantine import RejectedImage

PATHOLOGIES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
"""In the order in which one of several decides for a whole image."""

REQUIRED = (
    "patient_id",
    "left_or_right_breast",
    "image_view",
    "abnormality_id",
    "pathology",
    "image_file_path",
    "cropped_image_file_path",
    "roi_mask_file_path",
)
MARKS = ("image_file_path", "cropped_image_file_path")
"""Columns that only a case-description CSV has."""
PATH_PART = re.compile(r"[\w.+-]{1,120}", re.ASCII)
"""Part of a path in a CSV; the first one becomes a file's name."""


@dataclass(frozen=True)
class Case:
    """One abnormality: a row of a case-description CSV."""

    subset: str
    patient_id: str
    laterality: str
    view: str
    abnormality: str
    """Kind and number, such as ``mass 1``."""
    pathology: str
    image_path: str
    crop_path: str
    mask_path: str
    origin: str
    """CSV file and line."""


@dataclass(frozen=True)
class ImageSpec:
    """One image to make: what the CSVs know of it and where it can be found."""

    image_id: str
    """Such as ``Calc-Training_P_00005_RIGHT_CC``, with the abnormality's number for a crop."""
    label: int
    pathology: str
    patient_id: str
    laterality: str
    view: str
    abnormality: str
    subset: str
    series_uids: tuple[str, ...]
    """Series that may hold the image; a crop's may also hold its mask."""
    content: Literal["full", "crop"]
    mixed: bool = False
    """Whether its abnormalities disagree on the label."""


@dataclass(frozen=True)
class CaseFile:
    """The rows of the case CSVs of a labels folder that belong to the chosen subsets."""

    cases: tuple[Case, ...]
    bad: tuple[RejectedImage, ...]


def label_of(pathology: str) -> int:
    """1 for MALIGNANT, 0 for the benign ones. Raises ValueError for anything else."""
    if pathology not in PATHOLOGIES:
        raise ValueError(f"pathology={pathology!r}: write one of {', '.join(PATHOLOGIES)}")
    return int(pathology == "MALIGNANT")


def subset_of(folder_name: str) -> str:
    """Subset of ``Calc-Training_P_00005_RIGHT_CC``: ``calc-train``. Raises ValueError for another name."""
    subset = folder_name.split("_")[0].lower().replace("training", "train")
    if subset not in SUBSETS:
        raise ValueError(f"{folder_name!r} starts with none of Calc-Training, Calc-Test, Mass-Training, Mass-Test")
    return subset


def read_cases(labels: str, subset: str) -> CaseFile:
    """Rows of all case CSVs below ``labels`` that belong to ``subset``, such as ``calc-train+mass-train``.

    A file is recognised by its header, a row's subset by its image's name, so the files may be called anything and
    overlap. Rows that cannot be used come back as ``bad``. Raises FileNotFoundError where no case CSV is found and
    ValueError where none holds a row of a subset, or a recognised file lacks a column.
    """
    chosen = subset.split("+")
    cases: dict[tuple[str, str, str], Case] = {}
    bad: list[RejectedImage] = []
    seen: set[str] = set()
    for origin, row in _case_rows(labels):
        try:
            case = _case(row, origin)
        except ValueError as error:
            bad.append(_bad_row(row, origin, error))
            continue
        seen.add(case.subset)
        if case.subset in chosen:
            cases.setdefault((case.image_path, case.crop_path, case.pathology), case)
    missing = [name for name in chosen if name not in seen]
    if missing and not any(_may_belong(row, missing) for row in bad):
        raise ValueError(
            f"data.subset={subset!r}: no row of {', '.join(missing)} in the case CSVs at {labels}; "
            f"they hold {', '.join(sorted(seen)) or 'no usable row'}"
        )
    return CaseFile(tuple(cases.values()), tuple(row for row in bad if _may_belong(row, chosen)))


def wanted_images(found: CaseFile, images: Literal["full", "crop"]) -> tuple[list[ImageSpec], list[RejectedImage]]:
    """Unique full mammograms, or one crop per abnormality, sorted by ``image_id``, and what was left out.

    An image with an unusable row among its abnormalities is left out as a whole, for its label is not known.
    """
    groups: dict[str, list[Case]] = {}
    for case in found.cases:
        path = case.image_path if images == "full" else case.crop_path
        groups.setdefault(path.split("/")[0], []).append(case)
    spoilt = {row.image_id for row in found.bad} if images == "full" else set()
    make = _full_image if images == "full" else _crop
    wanted = [make(name, group) for name, group in sorted(groups.items()) if name not in spoilt]
    return wanted, list(found.bad)


def _full_image(name: str, cases: list[Case]) -> ImageSpec:
    first = cases[0]
    pathologies = {case.pathology for case in cases}
    pathology = next(known for known in PATHOLOGIES if known in pathologies)
    return ImageSpec(
        image_id=name,
        label=label_of(pathology),
        pathology=pathology,
        patient_id=first.patient_id,
        laterality=first.laterality,
        view=first.view,
        abnormality="+".join(sorted({case.abnormality.split(" ")[0] for case in cases})),
        subset=first.subset,
        series_uids=tuple(sorted({_series_uid(case.image_path) for case in cases})),
        content="full",
        mixed=len({label_of(known) for known in pathologies}) > 1,
    )


def _crop(name: str, cases: list[Case]) -> ImageSpec:
    image = _full_image(name, cases)
    uids = dict.fromkeys(_series_uid(path) for case in cases for path in (case.crop_path, case.mask_path) if path)
    return replace(image, abnormality=cases[0].abnormality, series_uids=tuple(uids), content="crop")


def _series_uid(path: str) -> str:
    return path.split("/")[-2]


def _case_rows(labels: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every row of every case CSV below ``labels``, with the file and line that it ends on."""
    if not storage.is_remote(labels) and not Path(labels).is_dir():
        raise FileNotFoundError(
            f"labels={labels!r}: no such folder; give the folder of the case-description CSVs, or its s3:// address"
        )
    others, found = [], 0
    for table in tables.below(labels):
        if not all(mark in table.header for mark in MARKS):
            others.append(table.name)
            continue
        found += 1
        absent = [column for column in REQUIRED if column not in table.header]
        if absent:
            raise ValueError(f"labels={labels!r}: {table.name} lacks the column {', '.join(absent)}; fix its header")
        for number, row in table.rows:
            yield f"{table.name}:{number}", row
    if not found:
        raise FileNotFoundError(
            f"labels={labels!r}: no case-description CSV; looked for *.csv with the columns {', '.join(MARKS)}, "
            f"found {tables.summarised(others) or 'no CSV file'}; give the folder of the four CSVs of CBIS-DDSM"
        )


def _case(row: dict[str, str], origin: str) -> Case:
    for column in REQUIRED:
        if not row.get(column) and column != "roi_mask_file_path":
            raise ValueError(f"{column}='': the field is empty or the line is cut off")
    if any("\n" in value for value in row.values()):
        raise ValueError("a field runs over several lines: a quote is not closed")
    label_of(row["pathology"])
    for column in ("image_file_path", "cropped_image_file_path", "roi_mask_file_path"):
        _check_path(column, row.get(column, ""))
    return Case(
        subset=subset_of(row["image_file_path"]),
        patient_id=row["patient_id"],
        laterality=row["left_or_right_breast"],
        view=row["image_view"],
        abnormality=f"{row.get('abnormality_type', '')} {row['abnormality_id']}".strip(),
        pathology=row["pathology"],
        image_path=row["image_file_path"],
        crop_path=row["cropped_image_file_path"],
        mask_path=row.get("roi_mask_file_path", ""),
        origin=origin,
    )


def _check_path(column: str, path: str) -> None:
    parts = path.split("/")
    if path and (len(parts) < 3 or ".." in parts or not all(map(PATH_PART.fullmatch, parts))):
        raise ValueError(f"{column}={path!r}: write it as NAME/STUDY UID/SERIES UID/FILE")


def _bad_row(row: dict[str, str], origin: str, error: ValueError) -> RejectedImage:
    image_id = row.get("image_file_path", "").split("/")[0]
    return RejectedImage(image_id, origin, str(error), "fix the line, or take the CSV from TCIA again")


def _may_belong(row: RejectedImage, chosen: list[str]) -> bool:
    try:
        return subset_of(row.image_id) in chosen
    except ValueError:
        return True
