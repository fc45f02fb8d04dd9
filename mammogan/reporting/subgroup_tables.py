"""For whom a generator works and its images help: the report's section, as text that is ready to be set."""

from __future__ import annotations

from dataclasses import dataclass

from mammogan import numbers
from mammogan.numbers import Point
from mammogan.records import Findings
from mammogan.reporting import quantities, subgroups
from mammogan.reporting.marks import Mark, Tone
from mammogan.results import (
    Finding,
    SubgroupFidelity,
    SubgroupMeasure,
    SubgroupUtility,
)

FINDINGS = {
    Finding.WORSE: Mark(Tone.BAD, "worse"),
    Finding.NO_DIFFERENCE: Mark(Tone.PLAIN, Finding.NO_DIFFERENCE.value),
}


@dataclass(frozen=True)
class FidelityRow:
    """A metric of one subgroup."""

    name: str
    counts: str
    """Images and patients."""
    metric: str
    value: str
    """With its interval."""
    reference: str
    difference: str
    """From the other images, each less its reference; with its interval."""
    p: str
    """Empty where the metric only describes."""
    mark: Mark | None


@dataclass(frozen=True)
class FidelityPart:
    """Coverage of each subgroup, which decides, and what else describes it."""

    sentence: str
    mark: Mark
    deciding: tuple[FidelityRow, ...]
    describing: tuple[FidelityRow, ...]
    not_done: tuple[str, ...]


@dataclass(frozen=True)
class UtilityRow:
    """AUC of one arm in a subgroup, or a difference from its control."""

    name: str
    patients: str
    """Benign and malignant ones; empty for a difference."""
    arm: str
    value: str
    """With its interval."""


@dataclass(frozen=True)
class UtilityPart:
    """AUC of the deciding arms in each subgroup."""

    aucs: tuple[UtilityRow, ...]
    effects: tuple[UtilityRow, ...]
    not_done: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """The section; a part that was not made is None."""

    fidelity: FidelityPart | None
    utility: UtilityPart | None


def part(findings: Findings) -> Part | None:
    """None where nothing was asked by subgroup."""
    fidelity = findings.result.subgroups if findings.result else None
    utility = findings.utility.subgroups if findings.utility else None
    if fidelity is None and utility is None:
        return None
    return Part(_fidelity(fidelity) if fidelity else None, _utility(utility) if utility else None)


def _fidelity(found: SubgroupFidelity) -> FidelityPart:
    sentence = subgroups.fidelity_sentence(found)
    rows = [(item, _row(item)) for item in found.measures]
    return FidelityPart(
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        mark=_mark(found),
        deciding=tuple(row for item, row in rows if item.worse is not None),
        describing=tuple(row for item, row in rows if item.worse is None),
        not_done=subgroups.left_out(found),
    )


def _mark(found: SubgroupFidelity) -> Mark:
    """Amber where a subgroup, or a whole attribute, was not asked about: what was not checked has not passed."""
    if found.worse:
        return Mark(Tone.BAD, f"{len(found.worse)} covered worse")
    if not any(item.finding for item in found.measures):
        return Mark(Tone.AMBER, "not checked")
    if found.omitted:
        return Mark(Tone.AMBER, f"none covered worse; {len(found.omitted)} not checked")
    return Mark(Tone.GOOD, "none covered worse")


def _row(item: SubgroupMeasure) -> FidelityRow:
    difference = Point(item.difference, item.difference_low, item.difference_high)
    return FidelityRow(
        name=subgroups.name(item.subgroup),
        counts=f"{item.subgroup.images} / {item.subgroup.patients}",
        metric=quantities.title(item.quantity),
        value=numbers.typeset(numbers.estimate(item)),
        reference=numbers.typeset(numbers.beside(item.reference, item)),
        difference=numbers.typeset(numbers.estimate(difference)),
        p="" if item.worse is None else numbers.p_value(item.worse),
        mark=FINDINGS.get(item.finding) if item.finding else None,
    )


def _utility(found: SubgroupUtility) -> UtilityPart:
    return UtilityPart(
        aucs=tuple(
            UtilityRow(
                name=subgroups.name(item.subgroup),
                patients=f"{item.benign_patients} / {item.malignant_patients}",
                arm=item.arm.replace("_", " "),
                value=numbers.typeset(numbers.estimate(item)),
            )
            for item in found.aucs
        ),
        effects=tuple(
            UtilityRow(
                name=subgroups.name(item.subgroup),
                patients="",
                arm=f"{item.arm} less {item.control}".replace("_", " "),
                value=numbers.typeset(numbers.estimate(item)),
            )
            for item in found.effects
        ),
        not_done=subgroups.left_out(found),
    )
