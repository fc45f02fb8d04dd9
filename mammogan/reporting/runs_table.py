"""Runs side by side: a row per trial, its settings that differ, its best snapshot and that one's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mammogan.config import SelectConfig, SettingValue
from mammogan.records import RunRecord, TrialRecord
from mammogan.results import Evaluation, Measurement, WinnerResult
from mammogan.selection.pairing import pairing_of_run

if TYPE_CHECKING:
    import pandas as pd


def compare(records: Sequence[RunRecord]) -> pd.DataFrame:
    """Table with a row per trial of every run, in the order of lambda and seed within a run.

    Columns: run, name, trial, lambda, seed, status, ``cfg.*`` for each setting that differs between the runs, the
    epoch of the trial's best snapshot as ``best`` finds it, that snapshot's metrics by key with ``/low`` and ``/high``,
    and train_s. A trial without metrics has its row too. The winner's row alone has its figures on test images,
    ``result/*``, and how often that test set was looked at.
    """
    import pandas as pd

    names = changing(records)
    rows = [
        {
            **_identity(record, trial),
            **{f"cfg.{name}": setting(record, name) for name in names},
            **_best(trial, record),
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


def _flat(record: RunRecord) -> dict[str, SettingValue]:
    """Settings by dotted name, lists as text, which can be compared as a whole."""
    settings = record.config.flat() if record.config else {}
    return {name: str(value) if isinstance(value, list) else value for name, value in settings.items()}


def setting(record: RunRecord, name: str) -> SettingValue | None:
    """A setting of a run by its dotted name, a list as text; None where the run ended before it was logged."""
    return _flat(record).get(name)


def changing(records: Sequence[RunRecord]) -> list[str]:
    """Settings that are not the same in every run; lambdas and seeds have columns of their own."""
    flats = [_flat(record) for record in records]
    names = {name: None for flat in flats for name in flat}
    return [name for name in names if name not in ("lambdas", "seeds") and len({flat.get(name) for flat in flats}) > 1]


def best(trial: TrialRecord, record: RunRecord) -> tuple[Measurement, ...]:
    """Measurements of the trial's best snapshot; empty where none was measured.

    That is the one which the run's decision puts first among the trial's candidates, so that the winner's is the one
    that was registered; of a trial without a candidate the best by the first deciding metric that was measured.
    """
    if trial.evaluation is None or (epoch := _best_epoch(trial.evaluation, record)) is None:
        return ()
    return tuple(item for item in trial.evaluation.measurements if item.epoch == epoch)


def _best_epoch(evaluation: Evaluation, record: RunRecord) -> int | None:
    candidates = record.decision.candidates if record.decision else ()
    if chosen := next((item for item in candidates if item.trial == evaluation.trial), None):
        return chosen.epoch
    select = record.config.select if record.config else SelectConfig()
    for metric in select.metrics.split(","):
        if measured := evaluation.of(metric, pairing_of_run(record)):
            return min(measured, key=lambda item: item.score).epoch
    return None


def _best(trial: TrialRecord, record: RunRecord) -> dict[str, float | None]:
    """Epoch and metrics of the trial's best snapshot; empty where nothing was measured."""
    measurements = best(trial, record)
    return {"epoch": measurements[0].epoch, **_columns(measurements)} if measurements else {}


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
