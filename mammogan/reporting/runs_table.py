"""Runs side by side: a row per branch, its settings that differ, its best snapshot and that one's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mammogan.config import SelectConfig
from mammogan.records import BranchRecord, RunRecord

if TYPE_CHECKING:
    import pandas as pd


def compare(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Table with a row per branch of every run, best first within a run.

    Columns: run, name, branch, lambda, seed, status, ``cfg.*`` for each setting that differs between the runs, the
    epoch of the branch's best snapshot by the first metric of the run's ``select.metrics`` that was measured, that
    snapshot's metrics by key with ``/low`` and ``/high``, and train_s. A branch without metrics has its row too.
    """
    import pandas as pd

    changing = _changing(records)
    rows = [
        {
            **_identity(record, branch),
            **{f"cfg.{name}": _flat(record).get(name) for name in changing},
            **_best(branch, _select(record)),
        }
        for record in records
        for branch in record.branches
    ]
    return pd.DataFrame(rows)


def _identity(record: RunRecord, branch: BranchRecord) -> dict[str, Any]:
    return {
        "run": record.run_id,
        "name": record.name,
        "branch": branch.branch.name,
        "lambda": branch.branch.gp_lambda,
        "seed": branch.branch.seed,
        "status": branch.status,
        "train_s": branch.info.get("train_s"),
    }


def _flat(record: RunRecord) -> dict[str, Any]:
    """Settings by dotted name."""
    return dict(_dotted(record.config))


def _dotted(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in _dotted(value))
        else:
            yield name, str(value) if isinstance(value, list) else value


def _changing(records: Sequence[RunRecord]) -> list[str]:
    """Settings that are not the same in every run; lambdas and seeds have columns of their own."""
    flats = [_flat(record) for record in records]
    names = {name: None for flat in flats for name in flat}
    return [name for name in names if name not in ("lambdas", "seeds") and len({flat.get(name) for flat in flats}) > 1]


def _select(record: RunRecord) -> SelectConfig:
    return SelectConfig(**record.config.get("select", {}))


def _best(branch: BranchRecord, select: SelectConfig) -> dict[str, Any]:
    """Epoch and metrics of the branch's best snapshot; empty where nothing was measured."""
    records = [item for item in branch.evaluation.get("records", ()) if item["value"] is not None]
    for metric in select.metrics.split(","):
        values = [item for item in records if (item["metric"], item["pairing"]) == (metric, select.against)]
        if values:
            epoch = min(values, key=lambda item: item["value"])["epoch"]
            return {"epoch": epoch, **_columns(item for item in records if item["epoch"] == epoch)}
    return {}


def _columns(records: Iterable[dict[str, Any]]) -> dict[str, float | None]:
    return {
        f"{item['key']}{suffix}": item[name]
        for item in records
        for name, suffix in (("value", ""), ("low", "/low"), ("high", "/high"))
    }
