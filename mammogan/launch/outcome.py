"""What a finished local run tells its user: the winner, what was lost, and where to look."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mammogan import shell
from mammogan.addresses import masked

if TYPE_CHECKING:
    from mammogan.tracking import Outcome


def outcome_lines(ended: Outcome, *, model: str, tracking_uri: str) -> Iterator[str]:
    """Lines of a short table: the winner, its deciding metrics, the model, lost trials, the report and the UI."""
    decision = ended.decision
    if winner := decision.get("winner"):
        yield _row("winner", f"{winner['trial']}, epoch {winner['epoch']}")
        deciding = decision["candidates"][0]["deciding"]
        yield from (_row("", _shown(key, winner["metrics"][key])) for key in deciding)
    yield _row("verdict", decision.get("verdict") or "no decision was reached")
    if ended.version:
        yield _row("model", f"mlflow.pyfunc.load_model('models:/{model}/{ended.version}')")
        yield _row("champion", ended.promotion or "not asked for: the run ended before")
    for trial, reason in ended.lost.items():
        yield _row("lost", f"{trial}: {reason}")
    yield _row("report", str(ended.report) if ended.report else "none was written")
    yield _row("MLflow", open_hint(tracking_uri))


def _row(name: str, text: str) -> str:
    return f"{name:<8} {text}"


def _shown(key: str, measure: Mapping[str, float | None]) -> str:
    interval = "" if measure["low"] is None else f" [{measure['low']:.4g}, {measure['high']:.4g}]"
    reference = "" if measure["reference"] is None else f", real against real {measure['reference']:.4g}"
    return f"{key} {measure['value']:.4g}{interval}{reference}"


def open_hint(tracking_uri: str) -> str:
    """Command or address that opens the MLflow UI on a run's store."""
    if not tracking_uri.startswith("sqlite:"):
        return masked(tracking_uri)
    return f"{shell.command('mlflow')} ui --backend-store-uri {shlex.quote(tracking_uri)}"
