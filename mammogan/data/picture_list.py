"""The ``manifest.csv`` of a folder of pictures, and the images and labels that it asks for.

A row is a finding in a file, and a file may have several. Its image is malignant if any of them is; an image with an
unusable row among its findings, or with findings that contradict each other, is left out as a whole. Each row is
accounted for: one of each image's makes it, every other one has a row of quarantine.

A column ``split`` decides what each image is for; then every image has to have one. Where it is not there, or empty
throughout, the settings decide.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mammogan.data import cbis_ddsm, manifest, picture, tables
from mammogan.data.cbis_ddsm import ImageSpec
from mammogan.data.descriptors import DescriptorColumns, Descriptors
from mammogan.data.listing import DICOM_SUFFIXES, Listing, composed, is_suffixless
from mammogan.data.patient_name import one_spelling
from mammogan.data.quarantine import RejectedImage

FILE = "manifest.csv"
COLUMNS = manifest.LISTED
OPTIONAL = ("laterality", "view", "subset", "abnormality", "abnormality_id", "abnormality_type", "split")
LONGEST_NAME = 120
"""Bytes of an image's name; it becomes a file's."""
ROLES = {role: role for role in manifest.ROLES} | {
    "training": "train",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
}
"""What a row's ``split`` may say, in any case, and the role that it means."""
SHOWN_LINES = 8
"""Lines of a patient that a message names."""
SUFFIXES = (*picture.SUFFIXES, *DICOM_SUFFIXES)
FIX = "fix the row"
UNUSABLE = "a row cannot be used, so that the label is not known"
NO_ROLE = f"split='': other rows say theirs; write {', '.join(manifest.ROLES)} in each row, or in none"


@dataclass(frozen=True)
class Finding:
    """One usable row."""

    line: int
    file: str
    patient_id: str
    pathology: str
    laterality: str
    view: str
    subset: str
    split: str
    """One of ``manifest.ROLES``; empty where the row does not say."""
    abnormality: str
    """Kind and number; empty where the row does not say which one it is."""
    kind: str
    """Such as ``mass``; empty where the row does not say."""
    described: Descriptors


@dataclass(frozen=True)
class ListedImage:
    """An image and the file that holds it."""

    spec: ImageSpec
    file: str


@dataclass(frozen=True)
class PictureList:
    """What a manifest asks for."""

    images: tuple[ListedImage, ...]
    """Sorted by ``image_id``."""
    bad: tuple[RejectedImage, ...]
    """Every row that no image is made of, those that only repeat one included."""
    expected: int
    """Images that should come out if nothing were bad."""
    doubted: tuple[ListedImage, ...] = ()
    """Those whose rows cannot be believed, which their specs say, to know their pictures again; in order."""


@dataclass(frozen=True)
class _Refusal:
    line: int
    reason: str
    elsewhere: bool = False
    """Whether its row of quarantine is another file's, which it may mean as well."""


def read(table: tables.Table, listing: Listing, *, by_patient: bool) -> PictureList:
    """Every image of a source's manifest.

    Raises ValueError for a table that cannot be read as a whole, and, with ``by_patient``, for one that puts a patient
    into both train and test.
    """
    findings: dict[str, list[Finding]] = {}
    refused: dict[str, list[_Refusal]] = {}
    lost: list[RejectedImage] = []
    ours = set(manifest.REQUIRED) <= set(table.header)
    columns = DescriptorColumns(table.header)
    for each in table.checked_rows(COLUMNS, (*COLUMNS, *OPTIONAL)):
        row = each.unshielded() if ours else each
        try:
            file = _file(row, listing)
        except ValueError as error:
            if not (meant := listing.meant(row["file"])):
                lost.append(_rejected("", row.line, str(error)))
            for number, file in enumerate(meant):
                refused.setdefault(file, []).append(_Refusal(row.line, str(error), elsewhere=number > 0))
            continue
        try:
            findings.setdefault(file, []).append(_finding(row, file, columns))
        except ValueError as error:
            refused.setdefault(file, []).append(_Refusal(row.line, str(error)))
    findings = _with_one_spelling(findings)
    names = _image_ids({*findings, *refused})
    given = any(each.split for known in findings.values() for each in known)
    images, doubted, bad = [], [], lost.copy()
    used: list[Finding] = []
    for file, image_id in names.items():
        known, unusable = findings.get(file, []), refused.get(file, [])
        unlike = _contradiction(known)
        if unusable or unlike:
            bad += _left_out(image_id, file, known, unusable, unlike)
            doubt = f"{cbis_ddsm.CONTRADICTED}: {unlike}" if unlike else UNUSABLE
            doubted.append(ListedImage(cbis_ddsm.in_doubt(image_id, doubt), file))
        elif given and not any(each.split for each in known):
            bad += [_rejected(image_id, each.line, NO_ROLE) for each in known]
            doubted.append(ListedImage(cbis_ddsm.in_doubt(image_id, "it has no role"), file))
        else:
            images.append(ListedImage(_image(image_id, known), file))
            bad += _repeated(image_id, file, known)
            used += known
    if by_patient and given:
        _check_patients(used)
    return PictureList(_ordered(images), tuple(bad), len(names) + len(lost), _ordered(doubted))


def _ordered(images: Iterable[ListedImage]) -> tuple[ListedImage, ...]:
    return tuple(sorted(images, key=lambda image: image.spec.image_id))


def _with_one_spelling(findings: dict[str, list[Finding]]) -> dict[str, list[Finding]]:
    """The same findings, each patient under one name."""
    spelt = one_spelling(each.patient_id for known in findings.values() for each in known)
    if all(name == given for given, name in spelt.items()):
        return findings
    return {
        file: [replace(each, patient_id=spelt[each.patient_id]) for each in known] for file, known in findings.items()
    }


def _rejected(image_id: str, line: int, reason: str, fix: str = FIX) -> RejectedImage:
    return RejectedImage(image_id, f"{FILE}:{line}", reason, fix)


def _file(row: tables.Row, listing: Listing) -> str:
    """The file that a row means. Raises ValueError where it cannot be one."""
    row.check_cells(("file",), ("file",))
    file = listing.resolve(row["file"])
    if not (_has_suffix(file) or is_suffixless(file)):
        raise ValueError(f"file={row['file']!r}: not a picture; use {', '.join(SUFFIXES)} or no suffix")
    if _is_long(file):
        raise ValueError(f"file={row['file'][:200]!r}: not a plain name of at most {LONGEST_NAME} bytes")
    return file


def _is_long(file: str) -> bool:
    shortened = file.isascii() and len(file) + file.count("/") <= LONGEST_NAME  # its name is no longer than that
    return not shortened and len(_stem(file).encode()) > LONGEST_NAME


def _has_suffix(file: str) -> bool:
    return file.lower().endswith(SUFFIXES)


def _finding(row: tables.Row, file: str, columns: DescriptorColumns) -> Finding:
    row.check(COLUMNS, (*COLUMNS, *OPTIONAL))
    number = row["abnormality"] or row["abnormality_id"]
    return Finding(
        line=row.line,
        file=file,
        patient_id=row["patient_id"],
        pathology=cbis_ddsm.pathology_of(row["pathology"]),
        laterality=row["laterality"],
        view=row["view"],
        subset=_known_subset(row["subset"]),
        split=_role(row["split"]),
        abnormality=cbis_ddsm.abnormality_of(row["abnormality_type"], number) if number else "",
        kind=row["abnormality_type"],
        described=columns.read(row),
    )


@functools.lru_cache(maxsize=256)
def _known_subset(text: str) -> str:
    try:
        return cbis_ddsm.subset_of(text)
    except ValueError:
        return text


def _role(text: str) -> str:
    """What a row's image is for; empty where it does not say. Raises ValueError for a word that is not known."""
    if text and text.lower() not in ROLES:
        raise ValueError(f"split={text[: tables.SHORT]!r}: write {', '.join(manifest.ROLES)}, or rename the column")
    return ROLES.get(text.lower(), "")


def _check_patients(findings: Sequence[Finding]) -> None:
    """Refuse a patient with images to train on and images to test with; the message names no patient."""
    patients: dict[str, dict[str, list[int]]] = {}
    for each in findings:
        patients.setdefault(each.patient_id, {}).setdefault(each.split, []).append(each.line)
    leaking = [lines for lines in patients.values() if "train" in lines and "test" in lines]
    if leaking:
        first = min(leaking, key=lambda lines: min(lines["train"] + lines["test"]))
        train, test = (_shown_lines(first[role]) for role in ("train", "test"))
        others = f", and so are {len(leaking) - 1} more patients" if len(leaking) > 1 else ""
        raise ValueError(
            f"{FILE}: one patient is split='train' in line {train} and split='test' in line {test}{others}; "
            "data.split='patient' keeps a patient on one side: fix the rows, or use data.split=image"
        )


def _shown_lines(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, sorted(lines)[:SHOWN_LINES]))
    return f"{shown}, ..." if len(lines) > SHOWN_LINES else shown


def _contradiction(findings: Sequence[Finding]) -> str:
    """What the rows of a file disagree on, with their lines; empty where they agree.

    Rows that do not say which abnormality they mean may be several ones, so that any label beside another is right.
    """
    if len(findings) < 2:
        return ""
    for field in ("patient_id", "laterality", "view", "subset", "split"):
        said = {getattr(each, field): each.line for each in reversed(findings) if getattr(each, field)}
        if len(said) > 1:
            return f"{field} is {_said(said.items())}"
    by_abnormality: dict[str, dict[int, Finding]] = {}
    for each in reversed(findings):
        if each.abnormality:
            by_abnormality.setdefault(each.abnormality, {})[cbis_ddsm.label_of(each.pathology)] = each
    for abnormality, labels in by_abnormality.items():
        if len(labels) > 1:
            return f"abnormality {abnormality!r} is {_said((each.pathology, each.line) for each in labels.values())}"
    return ""


def _said(values: Iterable[tuple[str, int]]) -> str:
    ordered = sorted(values, key=lambda each: each[1])
    return " and ".join(f"{value!r} in line {line}" for value, line in ordered)


def _left_out(
    image_id: str, file: str, known: Sequence[Finding], unusable: Sequence[_Refusal], unlike: str
) -> list[RejectedImage]:
    """A row of quarantine for each row of an image that cannot be made."""
    bad = [_rejected(image_id, each.line, each.reason) for each in unusable if not each.elsewhere]
    if unusable:
        lines = ", ".join(str(each.line) for each in unusable)
        reason = f"another row of {file} cannot be used, in line {lines}, so that its label is not known"
    else:
        reason = f"the rows of {file} contradict each other: {unlike}"
    return bad + [_rejected(image_id, each.line, reason, "keep the right rows") for each in known]


def _repeated(image_id: str, file: str, findings: Sequence[Finding]) -> list[RejectedImage]:
    """A row of quarantine for each row of an image after the first one."""
    if len(findings) < 2:
        return []
    first = min(each.line for each in findings)
    reason = f"{file} stands there twice or more, first in line {first}"
    fix = "none needed: malignant if any of its rows is"
    return [_rejected(image_id, each.line, reason, fix) for each in findings if each.line != first]


def _image(image_id: str, findings: Sequence[Finding]) -> ImageSpec:
    one = findings[0] if len(findings) == 1 else _together(findings)
    return ImageSpec(
        image_id=image_id,
        label=cbis_ddsm.label_of(one.pathology),
        pathology=one.pathology,
        patient_id=one.patient_id,
        laterality=one.laterality,
        view=one.view,
        abnormality=one.abnormality or one.kind,
        subset=one.subset,
        series_uids=(),
        content="full",
        mixed=len({cbis_ddsm.label_of(each.pathology) for each in findings}) > 1,
        split=one.split,
        described=one.described,
    )


def _together(findings: Sequence[Finding]) -> Finding:
    """What an image's rows say: of each field all say the same, or nothing; the pathology is by the rule."""
    return replace(
        findings[0],
        pathology=cbis_ddsm.deciding({each.pathology for each in findings}),
        laterality=max(each.laterality for each in findings),
        view=max(each.view for each in findings),
        abnormality="+".join(sorted({each.abnormality or each.kind for each in findings} - {""})),
        subset=max(each.subset for each in findings),
        split=max(each.split for each in findings),
        described=Descriptors.together(each.described for each in findings),
    )


def _plain_id(file: str) -> str:
    """A file's path as a name: ``deep/1.png`` is ``deep__1``; a long one's is its sha256, as is one of blanks alone."""
    if _is_long(file) or not _stem(file):
        return f"{'long' if _stem(file) else 'blank'}-{hashlib.sha256(file.encode()).hexdigest()[:16]}"
    return _stem(file)


def _stem(file: str) -> str:
    """As a cell of a table is read back, without blanks at its ends."""
    stem = posixpath.splitext(file)[0] if _has_suffix(file) else file
    return composed(stem.replace("/", "__")).strip()


def _image_ids(files: Iterable[str]) -> dict[str, str]:
    """A name for each file, in their order; where several would have one, each has a part of its path's sha256 too."""
    ordered = sorted(files)
    plain = {file: _plain_id(file) for file in ordered}
    shared = Counter(name.casefold() for name in plain.values())
    names = {
        file: f"{name}-{hashlib.sha256(file.encode()).hexdigest()[:8]}" if shared[name.casefold()] > 1 else name
        for file, name in plain.items()
    }
    again = [name for name, count in Counter(name.casefold() for name in names.values()).items() if count > 1]
    if again:
        raise ValueError(
            f"{FILE}: two files would both be one image, for a third has the name of one and a part of a sha256 behind "
            "it; rename that"
        )
    return names
