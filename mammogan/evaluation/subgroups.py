"""For whom a generator works: its images against each subgroup of the test reals, by what the manifest says of them.

``metrics.subgroups`` has the mathematics. Coverage decides, by one-sided tests with Holm's correction (1979,
Scandinavian Journal of Statistics 6) over all subgroups of all attributes; recall and KID describe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from mammogan.data.dataset import Dataset
from mammogan.data.subgroups import Membership, grouping
from mammogan.evaluation.measurement import EvaluationNetworks, ImageSet
from mammogan.metrics import subgroups as metrics
from mammogan.results import Direction, Finding, Quantity, SubgroupFidelity, SubgroupMeasure, SubgroupOmission
from mammogan.statistics import Estimate, Floats, Ints, holm

PAIRING = "test"


def measure_subgroups(
    dataset: Dataset,
    real: ImageSet,
    fakes: Floats,
    networks: EvaluationNetworks,
) -> SubgroupFidelity:
    """Coverage, recall and KID of each subgroup of ``real`` by the features ``fakes`` (m, D) of all fakes.

    ``dataset`` has the rows of ``real``, in the same order. A subgroup of fewer than 10 patients, or one that leaves
    fewer than 10 to compare with, is omitted with the number. Raises ValueError where rows and images differ in number.
    """
    if len(dataset) != real.count:
        raise ValueError(f"real={real.count} images: give the {len(dataset)} images of the data set's rows")
    groups, config = grouping(dataset), networks.config
    blank = SubgroupFidelity(unknown=groups.unknown, confidence=config.confidence, seed=config.seed, n_fake=len(fakes))
    reasons = [_reason(each, real.patients, len(fakes)) for each in groups.memberships]
    chosen = [each for each, reason in zip(groups.memberships, reasons, strict=True) if not reason]
    omitted = tuple(
        SubgroupOmission(each.subgroup, reason)
        for each, reason in zip(groups.memberships, reasons, strict=True)
        if reason
    )
    if not chosen:
        return replace(blank, omitted=omitted)
    measures = _measures(real.features, fakes, real.patients, chosen, networks)
    return replace(blank, measures=tuple(measures), omitted=omitted)


def _reason(group: Membership, patients: Ints, fakes: int) -> str:
    """Why nothing can be said of a subgroup; empty where it can."""
    others = len(np.unique(patients[~group.members]))
    everybody = len(np.unique(patients))
    for count, least, whose in (
        (group.subgroup.patients, metrics.FEWEST_PATIENTS, "patients"),
        (others, metrics.FEWEST_PATIENTS, "patients with other images to compare with"),
        (everybody, metrics.FEWEST_IN_ALL, "patients in all"),
        (fakes, metrics.FEWEST_FAKES, "generated images"),
    ):
        if count < least:
            return f"not done: {count} {whose}, {least} are needed"
    return ""


def _measures(
    real: Floats, fakes: Floats, patients: Ints, groups: Sequence[Membership], networks: EvaluationNetworks
) -> Iterable[SubgroupMeasure]:
    """Of each subgroup coverage, recall and KID; all coverages are one family of tests."""
    confidence, name = networks.config.confidence, networks.extractor.name
    coverage, recall = metrics.coverage_scores(real, fakes, patients, networks.config.seed)
    distance = metrics.kernel_scores(real, fakes, patients)
    tests = [metrics.contrast(coverage, each.members, patients, confidence) for each in groups]
    for group, test, worse in zip(groups, tests, holm([each.below for each in tests]), strict=True):
        finding = Finding.WORSE if worse <= 1 - confidence else Finding.NO_DIFFERENCE
        value, reference = metrics.share(coverage, group.members, patients, confidence)
        quantity = Quantity("coverage", name, PAIRING)
        decided = _measure(group, quantity, value, reference, test, Direction.HIGHER)
        yield replace(decided, worse=worse, finding=finding)
        value, reference = metrics.share(recall, group.members, patients, confidence)
        described = metrics.contrast(recall, group.members, patients, confidence)
        yield _measure(group, Quantity("recall", name, PAIRING), value, reference, described, Direction.HIGHER)
        value, reference = metrics.kernel_value(real, fakes, patients, group.members, confidence)
        described = metrics.contrast(distance, group.members, patients, confidence)
        yield _measure(group, Quantity("kid", name, PAIRING), value, reference, described, Direction.LOWER)


def _measure(
    group: Membership,
    quantity: Quantity,
    value: Estimate,
    reference: float,
    contrast: metrics.Contrast,
    direction: Direction,
) -> SubgroupMeasure:
    difference = contrast.difference
    assert value.low is not None and value.high is not None  # noqa: PT018  (10 patients are enough for an interval)
    assert difference.low is not None and difference.high is not None  # noqa: PT018
    return SubgroupMeasure(
        subgroup=group.subgroup,
        quantity=quantity,
        direction=direction,
        value=value.value,
        low=value.low,
        high=value.high,
        reference=reference,
        difference=difference.value,
        difference_low=difference.low,
        difference_high=difference.high,
        worse=None,
        finding=None,
    )
