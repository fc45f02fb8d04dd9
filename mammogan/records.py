"""A pipeline run as it was read back from MLflow, in plain dataclasses: what the report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mammogan.config import Config, Trial
from mammogan.data.summary import MinoritySummary, SyntheticPart
from mammogan.results import Audit, Decision, Evaluation, TrialResult, Utility, WinnerResult

PAIRS, CLOSEST = "pairs", "closest"
"""Names of the audit's figure, with real images beside the synthetic ones, and without."""
REALS = "reals"
"""Name of the audit's sample of training images."""
WITH_REALS = frozenset({PAIRS, REALS})
"""Pictures that show real images, and are made and shown on demand alone."""


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
    training: TrialResult | None
    """What its training handed on; None where it never ended."""
    evaluation: Evaluation | None
    """Its measurements; None where it was never evaluated."""
    history: dict[str, list[tuple[int, float]]]
    """Metric key to its (step, value), by step; the curves that the report draws."""
    grids: dict[int, bytes]
    """Epoch to the PNG of its sample grid."""

    @property
    def reason(self) -> str:
        """Why the trial failed; empty where it finished."""
        given = (self.training.reason if self.training else "", self.evaluation.reason if self.evaluation else "")
        return next(filter(None, given), self.tags.get("mammogan.reason", ""))


@dataclass(frozen=True)
class Findings:
    """Results of the steps after the selection; what was not reached is None."""

    synthetic: SyntheticPart | None = None
    """Part ``synthetic`` of the filled data set's summary."""
    audit: Audit | None = None
    utility: Utility | None = None
    result: WinnerResult | None = None
    """The winner's figures on test images: what is registered, shown and compared."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNGs: ``closest`` or ``pairs`` and ``reals``, ``effects``, ``curve``, ``calibration``."""


@dataclass(frozen=True)
class Link:
    """Where a browser compares a run's trials in MLflow."""

    address: str
    command: str = ""
    """Command that has to run meanwhile; empty where none has to."""


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
    for_release: bool
    """Whether its images passed an audit that required every check there is."""
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
    config: Config | None
    """The resolved configuration; None where the run ended before it was logged."""
    data: MinoritySummary | None
    """Summary of the data set; None where ingest did not end."""
    decision: Decision | None
    """The selection's decision; None where it was not reached."""
    trials: tuple[TrialRecord, ...] = field(default=())
    """The child runs, in the order of lambda and seed."""
    findings: Findings = field(default_factory=Findings)
    """What the steps after the selection found."""
