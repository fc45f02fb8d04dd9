"""The case-description CSVs of CBIS-DDSM, and the images and labels that they ask for.

A row is an abnormality. An image is malignant (1) if any of its abnormalities is MALIGNANT, else benign (0), and
BENIGN_WITHOUT_CALLBACK counts as benign; on the calcification training set this gives exactly the 718 and 509
images that the paper counts. The files hold quoted fields with newlines, write ``breast density`` with and without
an underscore, and sometimes swap the paths of a crop and its mask.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mammogan import storage
from mammogan.config import SUBSETS
from mammogan.data import tables
from mammogan.data.descriptors import NOTHING_SAID, DescriptorColumns, Descriptors
from mammogan.data.patient_name import canonical, one_spelling
from mammogan.data.quarantine import RejectedImage

PATHOLOGIES = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")
"""In the order in which one of several decides for a whole image."""

PATHS = ("image_file_path", "cropped_image_file_path", "roi_mask_file_path")
"""Of mammogram, crop and mask; the last may be empty."""
REQUIRED = ("patient_id", "left_or_right_breast", "image_view", "abnormality_id", "pathology", *PATHS)
USED = (*REQUIRED, "abnormality_type")
MAMMOGRAM = REQUIRED[:3]
MARKS = PATHS[:2]
"""Columns that only a case-description CSV has."""
SPOILT = "another row of its image cannot be used, so that the label is not known"
CONTRADICTED = "rows contradict each other"
UNUSABLE = "its row cannot be used"
NUMBER_OF_A_CROP = re.compile(r"_\d+$")
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
    described: Descriptors = NOTHING_SAID

    @property
    def image(self) -> str:
        """Name of its mammogram in its subset."""
        return self.image_path.split("/")[0]

    @property
    def crop(self) -> str:
        """Name of its crop."""
        return self.crop_path.split("/")[0]

    @property
    def mammogram(self) -> tuple[str, str, str]:
        """Patient, side and view, which are one mammogram in whatever subset it stands."""
        return self.patient_id, self.laterality, self.view

    @property
    def canonical_mammogram(self) -> tuple[str, ...]:
        """The same in one spelling."""
        return tuple(map(canonical, self.mammogram))


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
    twins: tuple[str, ...] = ()
    """Series of the same mammogram in another subset, which may hold it where ``series_uids`` are not there."""
    split: str = ""
    """One of ``manifest.ROLES`` where a manifest says so; empty where the settings decide."""
    described: Descriptors = NOTHING_SAID
    """Density and subtlety, where its rows say them and agree."""
    doubt: str = ""
    """Why its rows cannot be believed; empty where they can.

    Such an image is made to know its picture again under another name, and is in no data set; its rows are rejected."""


def in_doubt(image_id: str, doubt: str) -> ImageSpec:
    """An image of which its name and its doubt alone are known."""
    return ImageSpec(image_id, 0, "", "", "", "", "", "", (), "full", doubt=doubt)


@dataclass(frozen=True)
class Places:
    """What a row that cannot be used says of which images it is about, and where they lie."""

    subset: str
    """Empty where no path names one."""
    name: str
    """Of the mammogram in its subset, and below its crop's number; empty where no path tells it."""
    mammogram: tuple[str, ...]
    """Patient, side and view in one spelling; empty where one of them is missing."""
    abnormality: str
    """Its kind and number; empty where one of them is missing, so that any of the mammogram's may be meant."""
    image: str
    """Path of the mammogram; empty where the row tells none that can be used."""
    crop: str
    mask: str

    @classmethod
    def of(cls, row: tables.Row) -> Places:
        """By each column alone, whatever ails the others; of a path from the name of CBIS-DDSM on, wherever it lies."""
        image, crop, mask = (_salvaged(column, row[column]) for column in PATHS)
        named = next((name for name in map(_first_part, (image, crop, mask)) if _subset_or_nothing(name)), "")
        who = tuple(canonical(row[column]) for column in MAMMOGRAM)
        kind, number = row["abnormality_type"], row["abnormality_id"]
        abnormality = abnormality_of(kind, number) if kind and number else ""
        name = named if named == _first_part(image) else NUMBER_OF_A_CROP.sub("", named)
        return cls(_subset_or_nothing(named), name, who if all(who) else (), abnormality, image, crop, mask)

    def doubted(self, images: Literal["full", "crop"]) -> ImageSpec | None:
        """The image that the row would make, of which nothing else is known; None where it does not say which."""
        own = self.image if images == "full" else self.crop
        others = [] if images == "full" else [self.mask]
        if not own:
            return None
        uids = tuple(sorted({_series_uid(path) for path in (own, *others) if path}))
        named = _first_part(own)
        image = in_doubt(named if _subset_or_nothing(named) else uids[0], UNUSABLE)
        return replace(image, subset=self.subset, series_uids=uids, content=images)


@dataclass(frozen=True)
class CaseFile:
    """The rows of the case CSVs of a labels folder that belong to the chosen subsets."""

    cases: tuple[Case, ...]
    bad: tuple[RejectedImage, ...]
    doubted: tuple[Case, ...] = ()
    """Rows that contradict each other; they stand in ``bad`` too."""
    unusable: tuple[Places, ...] = ()
    """What rows that cannot be used say of where their images lie; they stand in ``bad`` too."""


@functools.lru_cache(maxsize=256)  # a long list says few words many times
def pathology_of(text: str) -> str:
    """One of PATHOLOGIES, whatever its case and with any separator. Raises ValueError for anything else."""
    known = re.sub(r"[\s_-]+", "_", text).upper()
    label_of(known if known in PATHOLOGIES else text)
    return known


def abnormality_of(kind: str, number: str) -> str:
    """``mass 1``, in one spelling: rows that mean one abnormality may not give it two labels."""
    return f"{' '.join(kind.casefold().split())} {tables.plain_number(number)}".strip()


def deciding(pathologies: Collection[str]) -> str:
    """The one of several that decides for their whole image."""
    return next(known for known in PATHOLOGIES if known in pathologies)


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


def read_cases(labels: str, subset: str, *, linked: bool = True) -> CaseFile:
    """Rows of all case CSVs below ``labels`` that belong to ``subset``, such as ``calc-train+mass-train``.

    A file is recognised by its header, a row's subset by its image's name, so the files may be called anything and
    overlap; with ``linked`` they may be links that lead out of the folder. Rows that cannot be used come back as
    ``bad``. Raises FileNotFoundError where no case CSV is found and ValueError where none holds a row of a subset, or a
    recognised file is not whole or lacks a column.
    """
    chosen = subset.split("+")
    cases: dict[Case, Case] = {}
    bad: list[RejectedImage] = []
    unusable: list[Places] = []
    seen: set[str] = set()
    for origin, row, columns in _case_rows(labels, linked=linked):
        try:
            case = _case(row, origin, columns)
        except ValueError as error:
            places = Places.of(row)
            bad.append(_bad_row(places, origin, error))
            if places.subset in ("", *chosen):
                unusable.append(places)
            continue
        seen.add(case.subset)
        if case.subset in chosen:
            cases.setdefault(replace(case, origin=""), case)
    missing = [name for name in chosen if name not in seen]
    if missing and not any(_may_belong(row, missing) for row in bad):
        raise ValueError(
            f"data.subset={subset!r}: no row of {', '.join(missing)} in the case CSVs at {labels}; "
            f"they hold {', '.join(sorted(seen)) or 'no usable row'}"
        )
    spelt = one_spelling(case.patient_id for case in cases.values())
    known = [replace(case, patient_id=spelt[case.patient_id]) for case in cases.values()]
    unlike = _contradictions(known)
    bad = [row for row in bad if _may_belong(row, chosen)]
    bad += [_contradicted(case, reason) for case, reason in unlike.items()]
    return CaseFile(
        cases=tuple(case for case in known if case not in unlike),
        bad=tuple(bad),
        doubted=tuple(unlike),
        unusable=tuple(unusable),
    )


def _contradictions(cases: Sequence[Case]) -> dict[Case, str]:
    """Rows that disagree on one abnormality's label, or on whose an image is, and with which others."""
    images, abnormalities, crops = {}, {}, {}
    for case in cases:
        images.setdefault(case.image, []).append(case)
        abnormalities.setdefault((case.image, case.abnormality), []).append(case)
        crops.setdefault(case.crop, []).append(case)
    unlike: dict[Case, str] = {}
    for group in (*abnormalities.values(), *crops.values()):
        if len({label_of(case.pathology) for case in group}) > 1:
            unlike |= dict.fromkeys(group, _said(group, lambda case: f"{case.abnormality} {case.pathology}"))
    for group in (*images.values(), *crops.values()):
        if len({case.mammogram for case in group}) > 1:
            unlike |= dict.fromkeys(group, _said(group, lambda case: " ".join(case.mammogram)))
    return unlike


def _said(cases: Iterable[Case], what: Callable[[Case], str]) -> str:
    return ", ".join(sorted(f"{case.origin} says {what(case)}" for case in cases))


def _contradicted(case: Case, reason: str) -> RejectedImage:
    return RejectedImage(case.image, case.origin, f"{CONTRADICTED}: {reason}", "keep the right rows alone")


def wanted_images(found: CaseFile, images: Literal["full", "crop"]) -> tuple[list[ImageSpec], list[RejectedImage]]:
    """Unique full mammograms, or one crop per abnormality, sorted by ``image_id``, and what was left out.

    A mammogram that stands in two subsets (71 of CBIS-DDSM do, 16 with labels that differ) is one image: malignant if
    any of its abnormalities is, under the name of the test subset where there is one. An image with an unusable row
    among its abnormalities is left out as a whole, for its label is not known.
    """
    whole, spoilt = _parted(found, images)
    wanted = [_make(group, images) for group in whole]
    bad = [*found.bad, *(_spoilt(case) for group in spoilt for case in group)]
    return sorted(wanted, key=lambda image: image.image_id), bad


def doubted_images(found: CaseFile, images: Literal["full", "crop"]) -> list[ImageSpec]:
    """The images that ``wanted_images`` leaves out, each with its ``doubt``, where a row tells their series."""
    whole, spoilt = _parted(found, images)
    known = {_make(group, images).image_id for group in whole}
    doubted: dict[str, ImageSpec] = {}
    for places in found.unusable:
        if image := places.doubted(images):
            doubted[image.image_id] = image
    for groups, doubt in ((spoilt, SPOILT), (_groups(found.doubted, images), CONTRADICTED)):
        for group in groups:
            image = _make(group, images)
            doubted[image.image_id] = replace(image, doubt=doubt)
    return [image for name, image in sorted(doubted.items()) if name not in known]


def _parted(found: CaseFile, images: Literal["full", "crop"]) -> tuple[list[list[Case]], list[list[Case]]]:
    """The rows of each image that can be used, and of each that an unusable row of the same image spoils."""
    names = {_without_subset(row.image_id) for row in found.bad if row.image_id}
    names |= {_without_subset(places.name) for places in found.unusable if places.name}
    mammograms = {places.mammogram for places in found.unusable if places.mammogram}
    crops = {_first_part(path) for places in found.unusable for path in (places.crop, places.mask) if path}
    abnormalities = {
        (*places.mammogram, places.abnormality)
        for places in found.unusable
        if places.mammogram and (places.abnormality or not (places.crop or places.mask))
    }

    def is_spoilt(case: Case) -> bool:
        if images == "crop":
            meant = {(*case.canonical_mammogram, abnormality) for abnormality in (case.abnormality, "")}
            return case.crop in crops or not meant.isdisjoint(abnormalities)
        return _without_subset(case.image) in names or case.canonical_mammogram in mammograms

    parted: tuple[list[list[Case]], list[list[Case]]] = ([], [])
    for group in _groups(found.cases, images):
        parted[any(map(is_spoilt, group))].append(group)
    return parted


def _make(group: Sequence[Case], images: Literal["full", "crop"]) -> ImageSpec:
    return _full_image(group) if images == "full" else _crop(group)


def _groups(cases: Iterable[Case], images: Literal["full", "crop"]) -> Iterator[list[Case]]:
    """The rows of each image, the one that names it first."""
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        # a name that differs in more than its subset tells of another image, whatever the columns say
        key = (*case.mammogram, _without_subset(case.image)) if images == "full" else (case.crop,)
        groups.setdefault(key, []).append(case)
    return (sorted(group, key=_rank) for group in groups.values())


def lost_images(bad: Iterable[RejectedImage], images: Literal["full", "crop"]) -> int:
    """How many images rows of quarantine stand for: rows of one mammogram are one, of crops each may be another."""
    rows = list(bad)
    return len(rows) if images == "crop" else len({_without_subset(row.image_id) or row.source for row in rows})


def _without_subset(name: str) -> str:
    """``P_00005_RIGHT_CC`` of ``Calc-Training_P_00005_RIGHT_CC``: the mammogram, whatever subset it stands in."""
    return name.partition("_")[2]


def _spoilt(case: Case) -> RejectedImage:
    return RejectedImage(case.image, case.origin, SPOILT, "fix the other row")


def _rank(case: Case) -> tuple[bool, str, str, str]:
    """Order of an image's rows: those of a test subset first, which must not be trained on."""
    return (not case.subset.endswith("-test"), case.image, case.abnormality, case.origin)


def _full_image(cases: Sequence[Case]) -> ImageSpec:
    """The image of the first row; rows of other subsets have their say in its label."""
    first = cases[0]
    pathologies = {case.pathology for case in cases}
    pathology = deciding(pathologies)
    return ImageSpec(
        image_id=first.image,
        label=label_of(pathology),
        pathology=pathology,
        patient_id=first.patient_id,
        laterality=first.laterality,
        view=first.view,
        abnormality="+".join(sorted({case.abnormality.split(" ")[0] for case in cases})),
        subset=first.subset,
        series_uids=_series_uids(case for case in cases if case.image == first.image),
        content="full",
        mixed=len({label_of(known) for known in pathologies}) > 1,
        twins=_series_uids(case for case in cases if case.image != first.image),
        described=Descriptors.together(case.described for case in cases),
    )


def _series_uids(cases: Iterable[Case]) -> tuple[str, ...]:
    return tuple(sorted({_series_uid(case.image_path) for case in cases}))


def _crop(cases: Sequence[Case]) -> ImageSpec:
    image = _full_image(cases)
    uids = {_series_uid(path) for case in cases for path in (case.crop_path, case.mask_path) if path}
    return replace(
        image,
        image_id=cases[0].crop,
        abnormality=cases[0].abnormality,
        series_uids=tuple(sorted(uids)),
        content="crop",
        twins=(),
    )


def _series_uid(path: str) -> str:
    return path.split("/")[-2]


def _case_rows(labels: str, *, linked: bool) -> Iterator[tuple[str, tables.Row, DescriptorColumns]]:
    """Every row of every case CSV below ``labels``, with the file and line that it ends on, and its table's columns."""
    if not storage.is_remote(labels) and not Path(labels).is_dir():
        raise FileNotFoundError(
            f"labels={labels!r}: no such folder; give the folder of the case-description CSVs, or its s3:// address"
        )
    others, found = [], 0
    for table in tables.below(labels, linked=linked):
        if not all(mark in table.header for mark in MARKS):
            others.append(table)
            continue
        found += 1
        try:
            rows = table.checked_rows(REQUIRED, USED)
        except ValueError as error:
            raise ValueError(f"labels={labels!r}: {error}") from error
        columns = DescriptorColumns(table.header)
        for row in rows:
            yield f"{table.name}:{row.line}", row, columns
    if not found:
        raise FileNotFoundError(
            f"labels={labels!r}: no case-description CSV; looked for *.csv with the columns {', '.join(MARKS)}, "
            f"found {tables.counted(table.name for table in others) or 'no CSV file'}; "
            f"give the folder of the four CSVs of CBIS-DDSM{tables.as_read(others, USED)}"
        )


def _case(row: tables.Row, origin: str, columns: DescriptorColumns) -> Case:
    row.check([column for column in REQUIRED if column != PATHS[-1]], USED)
    image, crop, mask = (_path(column, row[column]) for column in PATHS)
    return Case(
        subset=subset_of(image),
        patient_id=row["patient_id"],
        laterality=row["left_or_right_breast"],
        view=row["image_view"],
        abnormality=abnormality_of(row["abnormality_type"], row["abnormality_id"]),
        pathology=pathology_of(row["pathology"]),
        image_path=image,
        crop_path=crop,
        mask_path=mask,
        origin=origin,
        described=columns.read(row),
    )


def _path(column: str, written: str) -> str:
    """A path of a CSV, with forward slashes. Raises ValueError for one that is not NAME/STUDY UID/SERIES UID/FILE."""
    path = written.replace("\\", "/")
    parts = path.split("/")
    if path and (len(parts) < 3 or ".." in parts or not all(map(PATH_PART.fullmatch, parts))):
        raise ValueError(f"{column}={written!r}: write it as NAME/STUDY UID/SERIES UID/FILE")
    return path


def _salvaged(column: str, written: str) -> str:
    """The path that a column means: of an absolute one and the like from the name of CBIS-DDSM on; or nothing."""
    parts = written.replace("\\", "/").split("/")
    start = next((number for number, part in enumerate(parts) if _subset_or_nothing(part)), 0)
    try:
        return _path(column, "/".join(parts[start:]))
    except ValueError:
        return ""


def _first_part(path: str) -> str:
    return path.split("/")[0]


def _subset_or_nothing(name: str) -> str:
    try:
        return subset_of(name)
    except ValueError:
        return ""


def _bad_row(places: Places, origin: str, error: ValueError) -> RejectedImage:
    return RejectedImage(places.name, origin, str(error), "fix the line, or take the CSV from TCIA again")


def _may_belong(row: RejectedImage, chosen: list[str]) -> bool:
    return _subset_or_nothing(row.image_id) in ("", *chosen)
