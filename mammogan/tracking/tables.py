"""Tables among a run's artifacts, which MLflow's page shows as tables: what is looked up and not charted.

An interval, a reference, a value of the audit or of the utility study is one number of one run. As metrics they would
be bars in sections of their own, in front of the curves that a person looks for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from mammogan.results import (
    Audit,
    AuditMeasure,
    Evaluation,
    Measurement,
    SubgroupFidelity,
    SubgroupMeasure,
    SubgroupUtility,
    Utility,
    UtilityEffect,
    UtilityMeasure,
    UtilityTest,
)

METRICS_FILE = "metrics.json"
"""Table of every measurement, of a trial's run or of a whole pipeline run."""
AUDIT_FILE, UTILITY_FILE, SUBGROUPS_FILE = "audit_table.json", "utility_table.json", "subgroups.json"

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def document(self) -> str:
        """As ``MlflowClient.log_table`` writes it: pandas' orientation ``split``, without an index."""
        return json.dumps({"columns": self.columns, "data": self.rows}, allow_nan=False)


def log_table(mlflow: MlflowClient, run_id: str, file: str, document: str) -> None:
    """Store a table's document as an artifact that MLflow's page shows as one; the same file again replaces it.

    ``MlflowClient.log_table`` adds its rows to those that are there, so that a step which is run again would have them
    twice.
    """
    mlflow.log_text(run_id, document, file)
    logged = json.loads(mlflow.get_run(run_id).data.tags.get(MLFLOW_LOGGED_ARTIFACTS) or "[]")
    entry = {"path": file, "type": "table"}
    if entry not in logged:
        mlflow.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*logged, entry]))


def measurements_table(evaluations: Iterable[Evaluation]) -> Table:
    """Every measurement of these trials with its interval and reference, by trial and in the order of the snapshots."""
    columns = (
        "trial", "epoch", "metric", "value", "low", "high", "confidence", "real against real", "better", "real images",
        "synthetic images",
    )  # fmt: skip
    rows = [(each.trial.name, *_measured(item)) for each in evaluations for item in each.measurements]
    return Table(columns, tuple(rows))


def _measured(item: Measurement) -> tuple[Cell, ...]:
    interval = (item.low, item.high, item.confidence)
    better = item.direction.value.replace("_", " ")
    return (item.epoch, item.key, item.value, *interval, item.reference, better, item.n_real, item.n_fake)


def _ends(item: AuditMeasure | UtilityMeasure | UtilityEffect | UtilityTest) -> tuple[Cell, ...]:
    return (item.value, item.low, item.high, item.confidence)


def audit_table(audit: Audit) -> Table:
    """Every number of an audit, with what it was held against and what came of it."""
    columns = ("check", "space", "value", "low", "high", "confidence", "real images", "limit", "outcome", "meaning")
    rows = [
        (item.statistic, item.space, *_ends(item), item.reference, item.limit, item.outcome.words, item.meaning)
        for item in audit.measures
    ]
    return Table(columns, tuple(rows))


def subgroups_table(fidelity: SubgroupFidelity) -> Table:
    """Every number of the generated images and a subgroup of the real ones, and how far it is from the others'."""
    columns = (
        "subgroup", "images", "patients", "metric", "value", "low", "high", "real against real", "difference",
        "difference low", "difference high", "finding",
    )  # fmt: skip
    return Table(columns, tuple(map(_of_subgroup, fidelity.measures)))


def _of_subgroup(item: SubgroupMeasure) -> tuple[Cell, ...]:
    counts = (item.subgroup.name, item.subgroup.images, item.subgroup.patients)
    difference = (item.difference, item.difference_low, item.difference_high)
    finding = item.finding.value if item.finding else None
    return (*counts, item.quantity.key, item.value, item.low, item.high, item.reference, *difference, finding)


def utility_table(utility: Utility) -> Table:
    """Every number of a utility study: what each arm reaches, its effect, and the tests that decide."""
    columns = ("what", "metric", "arm", "against", "value", "low", "high", "confidence", "finding")
    measures = [("value", item.metric, item.arm, None, *_ends(item), None) for item in utility.measures]
    effects = [("effect", item.metric, item.arm, item.control, *_ends(item), None) for item in utility.effects]
    tests = [("test", "auc", item.arm, item.control, *_ends(item), item.finding.value) for item in utility.tests]
    return Table(columns, (*tests, *measures, *effects, *_of_subgroups(utility.subgroups)))


def _of_subgroups(subgroups: SubgroupUtility | None) -> list[tuple[Cell, ...]]:
    """Rows of the utility study's table."""
    if subgroups is None:
        return []
    level = subgroups.confidence
    aucs = [
        (f"value in {item.subgroup.name}", "auc", item.arm, None, item.value, item.low, item.high, level, None)
        for item in subgroups.aucs
    ]
    effects = [
        (f"effect in {item.subgroup.name}", "auc", item.arm, item.control, item.value, item.low, item.high, level, None)
        for item in subgroups.effects
    ]
    return [*aucs, *effects]
