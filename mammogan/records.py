"""A pipeline run as it was read back from MLflow, in plain dataclasses: what the report is made of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from mammogan.config import Trial
from mammogan.reporting.findings import Findings


@dataclass(frozen=True)
class TrialRecord:
    """One child run, read back."""

    run_id: str
    """Run id of the child."""
    trial: Trial
    """Its (lambda, seed)."""
    status: str
    """MLflow's status: RUNNING, FINISHED, FAILED or KILLED."""
    tags: dict[str, str]
    """All its tags."""
    info: dict[str, Any]
    """trial.json of the training; empty where it was never logged."""
    evaluation: dict[str, Any]
    """evaluation.json; empty where the trial was never evaluated."""
    history: dict[str, list[tuple[int, float]]]
    """Metric key to its (step, value), by step; the training's metrics only."""
    grids: dict[int, bytes]
    """Epoch to the PNG of its sample grid."""

    @property
    def reason(self) -> str:
        """Why the trial was lost; empty where it finished."""
        return self.info.get("reason") or self.evaluation.get("reason") or self.tags.get("mammogan.reason", "")


@dataclass(frozen=True)
class Production:
    """The model version that was in production when it was asked, and why."""

    model: str
    """Registered model's name."""
    version: str
    """Version that the alias ``champion`` pointed to."""
    asked_ms: int
    """When it was asked, milliseconds since 1970."""
    since_ms: int | None
    """When it became champion; None where no move says so."""
    why: str
    """Reason of the move that made it champion, with the gates' numbers."""
    by: str
    """User who moved it."""
    run_id: str
    """Parent run that trained it; empty for a model of other making."""
    tags: dict[str, str]
    """The version's tags: metrics, audit, utility."""


@dataclass(frozen=True)
class RunRecord:
    """One pipeline run, read back from MLflow: all that the report needs."""

    run_id: str
    """Run id of the parent."""
    name: str
    """Its name."""
    experiment: str
    """Name of its experiment."""
    status: str
    """MLflow's status: RUNNING, FINISHED, FAILED or KILLED."""
    started_ms: int
    """Start, milliseconds since 1970."""
    ended_ms: int | None
    """End, or None while it runs."""
    params: dict[str, str]
    """All its parameters."""
    tags: dict[str, str]
    """All its tags."""
    config: dict[str, Any]
    """The resolved configuration."""
    data: dict[str, Any]
    """Summary of the data set; empty where ingest did not end."""
    decision: dict[str, Any]
    """The selection's decision; empty where it was not reached."""
    trials: tuple[TrialRecord, ...] = field(default=())
    """The child runs, in the order of lambda and seed."""
    findings: Findings = field(default_factory=Findings)
    """What the steps after registration found."""

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dictionary without the pictures, ready for JSON."""
        content = dataclasses.asdict(self)
        for trial in content["trials"]:
            trial.pop("grids")
        content["findings"].pop("pictures")
        return content
