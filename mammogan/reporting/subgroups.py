"""For whom a generator works and its images help, in Markdown tables of the model card."""

from __future__ import annotations

from collections.abc import Iterator

from mammogan import numbers
from mammogan.numbers import Point
from mammogan.reporting.markdown import plain
from mammogan.results import (
    Finding,
    Subgroup,
    SubgroupEffect,
    SubgroupFidelity,
    SubgroupMeasure,
    SubgroupUtility,
)


def fidelity_sentence(found: SubgroupFidelity) -> str:
    """What the tests say, in a line."""
    if not found.measures:
        return "no subgroup of the test images has enough patients for a figure"
    tested = sum(item.finding is not None for item in found.measures)
    names = ", ".join(title(group) for group in found.worse)
    if names:
        return f"covered worse than the other test images: {names} (of {tested} subgroups, Holm's correction)"
    return f"none of {tested} subgroups of the test images is shown to be covered worse than the others"


def fidelity_lines(found: SubgroupFidelity) -> Iterator[str]:
    """Section of the model card: each subgroup's figures beside what real images of other patients give."""
    sentence = fidelity_sentence(found)
    yield from (
        "### By subgroup",
        "",
        f"{sentence[0].upper()}{sentence[1:]}. Reference: real images of other patients in",
    )
    yield "place of the synthetic ones. Difference: the value less its reference, less the same of all other images."
    if found.measures:
        yield from ("", "| subgroup | images / patients | metric | value (interval) | reference | difference | p |")
        yield "|---|---|---|---|---|---|---|"
        yield from map(_measure_row, found.measures)
    yield from _left_out(found)


def utility_lines(found: SubgroupUtility) -> Iterator[str]:
    """Section of the model card: each subgroup's AUC of the deciding arms, and what the synthetic images change."""
    yield from ("### By subgroup", "", "Estimates, corrected for nothing; the whole test set decides.")
    if found.aucs:
        yield from ("", "| subgroup | benign / malignant patients | arm | AUC (interval) |", "|---|---|---|---|")
        for item in found.aucs:
            patients = f"{item.benign_patients} / {item.malignant_patients}"
            yield f"| {title(item.subgroup)} | {patients} | {plain(item.arm)} | {numbers.estimate(item)} |"
        yield from ("", "| subgroup | arm | control | difference of AUC (interval) |", "|---|---|---|---|")
        yield from map(_effect_row, found.effects)
    yield from _left_out(found)


def title(group: Subgroup) -> str:
    """As a person reads it, in Markdown."""
    return plain(name(group))


def name(group: Subgroup) -> str:
    """As a person reads it: ``density 3``."""
    return f"{group.attribute} {group.value.replace('+', ' and ')}"


def left_out(found: SubgroupFidelity | SubgroupUtility) -> tuple[str, ...]:
    """What was not done, and why, and what of an attribute is not known."""
    return (
        *(f"{name(item.subgroup)}: {item.reason}" for item in found.omitted),
        *(f"{item.attribute}: not known of {item.images} images" for item in found.unknown),
    )


def _measure_row(item: SubgroupMeasure) -> str:
    counts = f"{item.subgroup.images} / {item.subgroup.patients}"
    difference = numbers.estimate(Point(item.difference, item.difference_low, item.difference_high))
    p = (
        ""
        if item.worse is None
        else f"{numbers.p_value(item.worse)}{', worse' if item.finding is Finding.WORSE else ''}"
    )
    return (
        f"| {title(item.subgroup)} | {counts} | {plain(item.quantity.key)} | {numbers.estimate(item)} | "
        f"{numbers.beside(item.reference, item)} | {difference} | {p} |"
    )


def _effect_row(item: SubgroupEffect) -> str:
    arms = f"{plain(item.arm)} | {plain(item.control)}"
    return f"| {title(item.subgroup)} | {arms} | {numbers.estimate(item)} |"


def _left_out(found: SubgroupFidelity | SubgroupUtility) -> Iterator[str]:
    lines = [f"- {plain(line)}" for line in left_out(found)]
    if lines:
        yield ""
    yield from lines
