"""For whom the synthetic images help: the AUC of the arms that decide, by subgroup of the test images.

An estimate with its interval for each subgroup, corrected for nothing: they describe, and what decides is the whole
test set. Both classes of a subgroup are its own: a radiologist reads dense breasts among dense breasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mammogan.data.subgroups import Membership
from mammogan.results import SubgroupAuc, SubgroupEffect, SubgroupOmission, SubgroupUtility
from mammogan.statistics import Floats
from mammogan.utility import delong
from mammogan.utility.arms import DECIDING
from mammogan.utility.comparison import auc_estimate, difference_estimate
from mammogan.utility.held_out import HeldOut

FEWEST_PATIENTS = 10
"""Of each class: with fewer the placements hardly vary, and an interval is narrow by chance."""
ARMS = tuple(dict.fromkeys(name for pair in DECIDING for name in pair))


def by_subgroup(scores: Mapping[str, Floats], test: HeldOut, confidence: float) -> SubgroupUtility:
    """AUC of the arms of ``DECIDING`` and their differences, from scores (S, T) by arm, in each subgroup of ``test``.

    A subgroup of all images, or with fewer than 10 patients of a class, is omitted, with the reason.
    """
    aucs: list[SubgroupAuc] = []
    effects: list[SubgroupEffect] = []
    omitted: list[SubgroupOmission] = []
    for group in test.groups.memberships:
        part = _part(test, group)
        if reason := _reason(part, len(test.labels)):
            omitted.append(SubgroupOmission(group.subgroup, reason))
            continue
        of_arms = {name: delong.components(scores[name][:, group.members], part) for name in ARMS}
        aucs += _aucs(group, of_arms, confidence)
        effects += _effects(group, of_arms, confidence)
    return SubgroupUtility(tuple(aucs), tuple(effects), tuple(omitted), test.groups.unknown, confidence)


def _part(test: HeldOut, group: Membership) -> HeldOut:
    """Labels and patients of a subgroup's images."""
    patients = [patient for patient, member in zip(test.patients, group.members, strict=True) if member]
    return HeldOut(test.labels[group.members], patients)


def _reason(part: HeldOut, images: int) -> str:
    """Why there is no AUC of a part of that many test images; empty where there is one."""
    if len(part.labels) == images:
        return "not done: it holds all test images"
    counts = [part.patients_of(label) if len(part.labels) else 0 for label in (0, 1)]
    if min(counts) >= FEWEST_PATIENTS:
        return ""
    benign, malignant = counts
    return (
        f"not done: {benign} patients with benign and {malignant} with malignant images, {FEWEST_PATIENTS} are needed"
    )


def _aucs(group: Membership, of_arms: Mapping[str, delong.Components], confidence: float) -> Iterable[SubgroupAuc]:
    for name, auc in of_arms.items():
        value = auc_estimate(auc, confidence)
        assert value.low is not None and value.high is not None  # noqa: PT018  (combine gives both or neither)
        with_malignant, with_benign, _ = auc.patients
        yield SubgroupAuc(group.subgroup, name, value.value, value.low, value.high, with_benign, with_malignant)


def _effects(
    group: Membership, of_arms: Mapping[str, delong.Components], confidence: float
) -> Iterable[SubgroupEffect]:
    for arm, control in DECIDING:
        value = difference_estimate(of_arms[arm] - of_arms[control], confidence)
        assert value.low is not None and value.high is not None  # noqa: PT018
        yield SubgroupEffect(group.subgroup, arm, control, value.value, value.low, value.high)
