"""What a finished local run tells its user: the winner, what failed, and where to look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mammogan import shell
from mammogan.addresses import masked
from mammogan.reporting.winner import looks

if TYPE_CHECKING:
    from mammogan.results import Measurement, WinnerResult
    from mammogan.tracking import Outcome


def outcome_lines(ended: Outcome, *, model: str, tracking_uri: str) -> Iterator[str]:
    """Lines of a short table: the winner, its figures, what selected it, the model, failed trials, report and UI."""
    decision = ended.decision
    if decision and (winner := decision.winner):
        yield _row("winner", f"{winner.trial.name}, epoch {winner.epoch}")
        yield from _figures(ended.result)
        yield from (_row("selected", f"by {_shown(item)}") for item in winner.decided_by())
    yield _row("verdict", decision.verdict if decision else "no decision was reached")
    if ended.version:
        yield _row("model", generate_hint(f"models:/{model}/{ended.version}", tracking_uri))
        yield _row("champion", ended.promotion or "not asked for: the run ended before")
    for trial, reason in ended.failed.items():
        yield _row("failed", f"{trial}: {reason}")
    yield _row("report", str(ended.report) if ended.report else "none was written")
    yield _row("MLflow", open_hint(tracking_uri))


def _figures(result: WinnerResult | None) -> Iterator[str]:
    """The winner's figures on test images, or why there are none; nothing where the run ended before."""
    if result is None:
        return
    if result.unmeasured is not None:
        yield _row("on test", f"not measured: {result.reason or result.unmeasured}")
        return
    yield from (_row("on test", _shown(item)) for item in result.figures())
    yield _row("", looks(result.test_set))


def generate_hint(model_uri: str, tracking_uri: str) -> str:
    """Command that draws images from a registered model, of which it runs nothing."""
    options = ("--model", model_uri, "--out", "samples", "--tracking-uri", masked(tracking_uri))
    return shlex.join([*shlex.split(shell.command("mammogan")), "generate", *options])


def _row(name: str, text: str) -> str:
    return f"{name:<8} {text}"


def _shown(item: Measurement) -> str:
    interval = "" if item.low is None or item.high is None else f" [{item.low:.4g}, {item.high:.4g}]"
    reference = "" if item.reference is None else f", real against real {item.reference:.4g}"
    return f"{item.key} {item.value:.4g}{interval}{reference}"


def open_hint(tracking_uri: str) -> str:
    """Command or address that opens the MLflow UI on a run's store."""
    if not tracking_uri.startswith(("sqlite:", "sqlite+")):
        return masked(tracking_uri)
    return f"{shell.command('mlflow')} ui --backend-store-uri {shlex.quote(tracking_uri)}"
