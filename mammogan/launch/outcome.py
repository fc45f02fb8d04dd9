"""What a finished local run tells its user: the winner, what failed, and what to do next, in commands to be copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mammogan import numbers, shell
from mammogan.addresses import masked
from mammogan.console import WIDTH, wrapped
from mammogan.launch import mlflow_page, store
from mammogan.numbers import Scale
from mammogan.reporting import trial_table
from mammogan.reporting.winner import looks

if TYPE_CHECKING:
    from mammogan.results import Measurement, WinnerResult
    from mammogan.tracking import Outcome

LABEL = 9
"""Columns of the names before the lines."""
SHOWN = 16
"""Images that the command draws which is proposed."""


def outcome_lines(ended: Outcome, *, model: str, tracking_uri: str, key: str) -> Iterator[str]:
    """Lines of a short table: the winner, its figures, what selected it, the model, failed trials, what is next.

    ``key`` names the run in the commands that are proposed.
    """
    decision = ended.decision
    if decision and (winner := decision.winner):
        yield from _row("winner", f"{winner.trial.name}, epoch {winner.epoch}")
        yield from _figures(ended.result)
        for number, item in enumerate(winner.decided_by()):
            yield from _row("selected" if number == 0 else "", f"by {estimate(item)}")
    yield from _row("verdict", decision.verdict if decision else "no decision was reached")
    if ended.version:
        yield from _row("model", f"models:/{model}/{ended.version}")
        yield from _row("champion", ended.promotion or "not asked for: the run ended before")
    for trial, reason in ended.failed.items():
        yield from _row("failed", f"{trial}: {reason}")
    yield from _row("report", shell.near(ended.report) if ended.report else "none was written")
    yield ""
    yield from next_lines(
        f"models:/{model}/{ended.version}" if ended.version else "", tracking_uri, key, page(key, tracking_uri)
    )


def page(key: str, tracking_uri: str) -> str:
    """Link to the run of that key in MLflow; of a database file the command that serves and opens it."""
    from mammogan import tracking
    from mammogan.tracking import links

    run_id = "" if mlflow_page.is_file(tracking_uri) else tracking.find_parent(key, tracking_uri)
    return links.link(run_id, tracking_uri) if run_id else mlflow_page.open_command(tracking_uri)


def _figures(result: WinnerResult | None) -> Iterator[str]:
    """The winner's figures on test images, or why there are none; nothing where the run ended before."""
    if result is None:
        return
    if result.unmeasured is not None:
        yield from _row("on test", f"not measured: {result.reason or result.unmeasured}")
        return
    for number, item in enumerate(result.figures()):
        yield from _row("on test" if number == 0 else "", estimate(item))
    yield from _row("", looks(result.test_set))


def next_lines(model_uri: str, tracking_uri: str, key: str, opened_by: str) -> Iterator[str]:
    """What to do next: a heading and a command each, in lines that a shell takes as they stand.

    ``opened_by`` is the link, or the command, of ``page``.
    """
    yield "to see it in MLflow:"
    yield f"  {opened_by}"
    yield "to see its trials side by side:"
    yield from _command(["compare", key], tracking_uri)
    if model_uri:
        yield f"to draw {SHOWN} images of its model:"
        options = ["--model", model_uri, "--count", str(SHOWN), "--out", "samples"]
        yield from _command(["generate", *options], tracking_uri)


def estimate(item: Measurement) -> str:
    """A measurement in one line: ``KID random_vgg, train: 0.32 (-0.03 to 0.66) x 10^-3; real against real ...``."""
    name = " ".join(trial_table.title(item.quantity).split("\n"))
    scale = Scale.of([item])
    reference = f"; {trial_table.REFERENCE} {scale.beside(item.reference, item)} {scale.power}".rstrip()
    return f"{name}: {numbers.estimate(item)}{reference if item.reference is not None else ''}"


def arguments(tracking_uri: str) -> list[str]:
    """Options that name a store to a command which works on runs; none where it is found without."""
    return [] if store.is_default(tracking_uri) else ["--tracking-uri", masked(tracking_uri)]


def _command(given: list[str], tracking_uri: str) -> Iterator[str]:
    program = shell.command("mammogan")
    whole = [program, *given, *arguments(tracking_uri)]
    yield from (f"  {line}" for line in shell.lines(whole, WIDTH - 2))


def _row(name: str, text: str) -> Iterator[str]:
    yield from wrapped(text, first=f"{name:<{LABEL - 1}} ", rest=" " * LABEL)
