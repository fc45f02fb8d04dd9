"""The registered model's page in MLflow: what is in production, its samples, how to use it, and how it came there."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from mammogan.reporting.markdown import plain
from mammogan.tracking import authorship
from mammogan.training.trial_folder import grid_name

if TYPE_CHECKING:
    from mammogan.results import Move

SUMMARY = "Generator of synthetic mammograms of the rare class"
LONGEST = 5000
"""Characters that MLflow's database keeps of a description."""
CUT = "\n\n(Shortened: the rest is in `model_card.md` among the version's files, and in its run's report.)"
USE = """```
pip install .    # in a checkout of mammogan
mammogan generate --model models:/{model}@champion --count 16 --seed 0 --out samples
```"""


def write(client: MlflowClient, model: str, champion: str | None, moves: Sequence[Move]) -> None:
    """Bring the page up to the champion and the moves, oldest first, unless its text is a person's."""
    before = client.get_registered_model(model).description
    untouched = before == SUMMARY or (before == "" and not moves)  # a server says "" of what nobody wrote yet, too
    if not untouched and not authorship.is_ours(before):
        return
    version = client.get_model_version(model, champion) if champion else None
    text = authorship.sealed("\n".join(_lines(model, version, moves)), LONGEST)
    client.update_registered_model(model, text)


def samples(version: ModelVersion) -> str:
    """Picture, in Markdown, of the samples that the training drew with the version's snapshot; empty without."""
    epoch = version.tags.get("epoch", "")
    if not epoch.isdigit() or not version.run_id:
        return ""
    return picture(version.run_id, int(epoch))


def picture(run_id: str, epoch: int) -> str:
    """A trial's sample grid in Markdown, by the address at which MLflow serves it beside its own pages."""
    query = urllib.parse.urlencode({"path": grid_name(epoch), "run_uuid": run_id})
    return f"![Samples of epoch {epoch}](get-artifact?{query})"


def fitted(text: str, room: int = LONGEST) -> str:
    """The text in at most ``room`` characters: whole lines, no heading of nothing, and where the rest is."""
    if len(text) <= room:
        return text
    kept = text.removesuffix(CUT)[: room - len(CUT)].rpartition("\n")[0].rstrip()
    while kept.rpartition("\n")[2].startswith("#"):
        kept = kept.rpartition("\n")[0].rstrip()
    return f"{kept}{CUT}"


def _lines(model: str, version: ModelVersion | None, moves: Sequence[Move]) -> Iterator[str]:
    yield f"{SUMMARY}."
    if version is None:
        yield from ("", "Nothing is in production yet.")
    else:
        own = [move for move in moves if move.version == str(version.version)]
        since = f" since {_time(own[-1])}" if own else ""
        address = f"#/models/{urllib.parse.quote(model, safe='')}/versions/{version.version}"
        yield from ("", f"**In production: [version {version.version}]({address})**{since}.")
        yield from ("", samples(version), "", "## Use", "", USE.format(model=model))
    yield from ("", "## Promotions", "", "| when | champion | before | how | by | why |", "|---|---|---|---|---|---|")
    for move in reversed(moves):
        cells = (_time(move), move.version, move.before or "none", move.kind, plain(move.by), plain(move.why))
        yield f"| {' | '.join(cells)} |"


def _time(move: Move) -> str:
    return f"{dt.datetime.fromtimestamp(move.at_ms / 1000, dt.UTC):%Y-%m-%d %H:%M} UTC"
