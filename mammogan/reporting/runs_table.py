"""Runs side by side: a row per trial, its settings that differ, its best snapshot and that one's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mammogan.config import SelectConfig
from mammogan.records import RunRecord, TrialRecord
from mammogan.results import Measurement, WinnerResult
from mammogan.selection.pairing import pairing_of_run

if TYPE_CHECKING:
    import pandas as pd


def compare(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Table with a row per trial of every run, best first within a run.

    Columns: run, name, trial, lambda, seed, status, ``cfg.*`` for each setting that differs between the runs, the
    epoch of the trial's best snapshot by the first metric of the run's ``select.metrics`` that was measured, that
    snapshot's metrics by key with ``/low`` and ``/high``, and train_s. A trial without metrics has its row too. The
    winner's row alone has its figures on test images, ``result/*``, and how often that test set was looked at.
    """
    import pandas as pd

    changing = _changing(records)
    rows = [
        {
            **_identity(record, trial),
            **{f"cfg.{name}": _flat(record).get(name) for name in changing},
            **_best(trial, _select(record), pairing_of_run(record)),
            **_result(trial, record.findings.result),
        }
        for record in records
        for trial in record.trials
    ]
    return pd.DataFrame(rows)


def _identity(record: RunRecord, trial: TrialRecord) -> dict[str, object]:
    return {
        "run": record.run_id,
        "name": record.name,
        "trial": trial.trial.name,
        "lambda": trial.trial.gp_lambda,
        "seed": trial.trial.seed,
        "status": trial.status,
        "train_s": trial.training.train_s if trial.training else None,
    }


def _flat(record: RunRecord) -> dict[str, object]:
    """Settings by dotted name, lists as text, which can be compared as a whole."""
    settings = record.config.flat() if record.config else {}
    return {name: str(value) if isinstance(value, list) else value for name, value in settings.items()}


def _changing(records: Sequence[RunRecord]) -> list[str]:
    """Settings that are not the same in every run; lambdas and seeds have columns of their own."""
    flats = [_flat(record) for record in records]
    names = {name: None for flat in flats for name in flat}
    return [name for name in names if name not in ("lambdas", "seeds") and len({flat.get(name) for flat in flats}) > 1]


def _select(record: RunRecord) -> SelectConfig:
    return record.config.select if record.config else SelectConfig()


def _best(trial: TrialRecord, select: SelectConfig, against: str) -> dict[str, float | None]:
    """Epoch and metrics of the trial's best snapshot; empty where nothing was measured."""
    if trial.evaluation is None:
        return {}
    for metric in select.metrics.split(","):
        if measured := trial.evaluation.of(metric, against):
            epoch = min(measured, key=lambda item: item.value).epoch
            same = [item for item in trial.evaluation.measurements if item.epoch == epoch]
            return {"epoch": epoch, **_columns(same)}
    return {}


def _result(trial: TrialRecord, result: WinnerResult | None) -> dict[str, float | None]:
    """What was measured anew on test images of the trial whose snapshot won; empty for the others."""
    if result is None or result.trial != trial.trial:
        return {}
    figures = {f"result/{key}": value for key, value in _columns(result.figures()).items()}
    return {**figures, "test_looks": result.test_set.looks}


def _columns(measurements: Iterable[Measurement]) -> dict[str, float | None]:
    return {
        f"{item.key}{suffix}": value
        for item in measurements
        for suffix, value in (("", item.value), ("/low", item.low), ("/high", item.high))
    }
