"""Images that are the same file, or the same pixels: used once, and not at all where labels or splits differ.

Nor where the rows of one of them cannot be believed: the same picture under another name has the same label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mammogan.data.descriptors import Descriptors
from mammogan.data.finished import FinishedImage
from mammogan.data.quarantine import RejectedImage


def without_duplicates(images: Iterable[FinishedImage]) -> tuple[list[FinishedImage], list[RejectedImage]]:
    """Images sorted by ``image_id``, one of each that look the same, and a row for each that is left out.

    Of several with one label the first by name is kept; of several with both labels none, for one of them is wrong, and
    none of several that a manifest puts into several splits, or that are of several patients: a new patient's copy
    could else take a test image into train; none either that looks like one whose rows are in doubt, which is left out
    without a row, for it has some. A row also notes each file that is a copy of an image's own, or that stood
    beside it and cannot be read.
    """
    kept: list[FinishedImage] = []
    bad: list[RejectedImage] = []
    for group in _same(sorted(images, key=lambda image: image.spec.image_id)):
        unlike = _contradiction(group)
        if unlike:
            bad += [_contradicted(image, unlike) for image in group if not image.spec.doubt]
            continue
        first, *others = group
        kept.append(_described(first, group))
        bad += [_copied(image, first) for image in others]
    for image in kept:
        bad += _notes(image)
    return sorted(kept, key=lambda image: image.spec.image_id), bad


def _same(images: Iterable[FinishedImage]) -> list[list[FinishedImage]]:
    """Groups of images whose source files, or whose pixels when made, are the same."""
    groups: dict[str, list[FinishedImage]] = {}
    for image in images:
        keys = (f"source {image.conversion.source_sha256}", f"pixels {image.conversion.sha256}")
        same = {id(groups[key]): groups[key] for key in keys if key in groups}
        members = (member for known in same.values() for member in known)
        group = sorted(members, key=lambda member: member.spec.image_id)
        group.append(image)
        for member in group:
            groups[f"source {member.conversion.source_sha256}"] = groups[f"pixels {member.conversion.sha256}"] = group
    return list({id(group): group for group in groups.values()}.values())


def _contradiction(group: Sequence[FinishedImage]) -> str:
    """What is said of one image that cannot all be true, or not be believed; empty where it can."""
    if doubted := [image for image in group if image.spec.doubt]:
        named = ", ".join(f"{image.conversion.source} ({image.spec.doubt})" for image in doubted)
        return f"the same image as {named}"
    if len({image.spec.label for image in group}) > 1:
        statements = ", ".join(f"{image.conversion.source} is {image.spec.pathology}" for image in group)
        return f"the same image with two labels: {statements}"
    if len({image.spec.split for image in group}) > 1:
        statements = ", ".join(f"{image.conversion.source} is {image.spec.split}" for image in group)
        return f"the same image in two splits: {statements}"
    if len({image.spec.patient_id for image in group}) > 1:
        return f"the same image of two patients: {', '.join(image.conversion.source for image in group)}"
    return ""


def _described(first: FinishedImage, group: Sequence[FinishedImage]) -> FinishedImage:
    """The first image with the descriptors that all of a group agree on."""
    described = Descriptors.together(image.spec.described for image in group)
    return replace(first, spec=replace(first.spec, described=described))


def _contradicted(image: FinishedImage, reason: str) -> RejectedImage:
    return RejectedImage(image.spec.image_id, image.conversion.source, reason, "keep the right one, or fix its row")


def _copied(image: FinishedImage, first: FinishedImage) -> RejectedImage:
    same = "file" if image.conversion.source_sha256 == first.conversion.source_sha256 else "picture"
    fix = f"remove one of the two, or fix the CSV if {first.spec.image_id} is the wrong one"
    reason = f"the same {same} as {first.conversion.source}"
    return RejectedImage(image.spec.image_id, image.conversion.source, reason, fix)


def _notes(image: FinishedImage) -> list[RejectedImage]:
    conversion = image.conversion
    copies = [
        RejectedImage("", copy, f"a copy of {conversion.source}", "none needed; it was used once")
        for copy in conversion.copies
    ]
    return copies + [
        RejectedImage("", unused.source, f"beside {conversion.source}, which was used: {unused.reason}", "none needed")
        for unused in conversion.unused
    ]
