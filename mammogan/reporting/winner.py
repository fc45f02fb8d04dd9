"""The winner's figures on test images, in words: beside them by what it was selected, and the looks at the test set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mammogan import numbers
from mammogan.reporting import subgroups
from mammogan.reporting.markdown import plain
from mammogan.results import HeldOutSet, Measurement, WinnerResult


def sentence(result: WinnerResult) -> str:
    """All of it in a line: what a version is registered and compared with, or why there is no figure."""
    selected = f"selected by {figures(result.selected_by)}"
    if result.unmeasured is not None:
        return f"not measured on test images: {result.reason or result.unmeasured}; {selected}"
    test_set = result.test_set
    return f"{figures(result.figures())} on {basis(test_set)}, {looks(test_set)}; {selected}"


def figures(items: Iterable[Measurement]) -> str:
    """Keys, values and intervals."""
    return ", ".join(f"{item.key} {numbers.estimate(item)}" for item in items)


def basis(test_set: HeldOutSet) -> str:
    """What the figures rest on."""
    return f"{test_set.images} test images of {test_set.patients} patients"


def looks(test_set: HeldOutSet) -> str:
    """How often the test set was looked at, as every page says it."""
    if not test_set.looks:
        return "this test set has not been looked at"
    return f"this test set has been looked at {'once' if test_set.looks == 1 else f'{test_set.looks} times'}"


def card_lines(result: WinnerResult) -> Iterator[str]:
    """Section of the model card, in Markdown."""
    yield from ("## Result on test images", "")
    if result.unmeasured is not None:
        yield f"Not measured: {plain(result.reason or result.unmeasured)}. No figure of this version is to be quoted."
        yield from _selected_lines(result)
        return
    test_set = result.test_set
    yield (
        f"Measured once, by images drawn for it (seed {result.latent_seed}), on {basis(test_set)} who have none in "
        f"train or validation. {looks(test_set).capitalize()}."
    )
    yield from _selected_lines(result)
    yield from ("", "| metric | value (interval) | real against real | real / fake images |", "|---|---|---|---|")
    yield from (measurement_row(item) for item in result.measurements)
    yield from (f"- not measured: {plain(item.key)}: {plain(item.reason)}" for item in result.omitted)
    if result.verdict is not None:
        yield from ("", f"- {plain(result.verdict.gate)}: {result.verdict.outcome.words}: {plain(result.verdict.why)}")
    if result.subgroups is not None:
        yield from ("", *subgroups.fidelity_lines(result.subgroups))


def _selected_lines(result: WinnerResult) -> Iterator[str]:
    yield from ("", f"Selected by {plain(figures(result.selected_by))}: the best of many, and so too good in the mean.")


def measurement_row(item: Measurement) -> str:
    """A row of the card's tables."""
    reference = "" if item.reference is None else numbers.beside(item.reference, item)
    return f"| {item.key} | {numbers.estimate(item)} | {reference} | {item.n_real} / {item.n_fake} |"
