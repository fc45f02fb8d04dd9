"""What every step is given: the settings of its run, and the run's record, under which it writes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from mammogan import config, console, tether, tracking
from mammogan.config import Config
from mammogan.graph import Step
from mammogan.tracking import TrialLog
from mammogan.tracking.ledger import Progress


@dataclass(frozen=True)
class StepContext:
    """Settings and parent run of one pipeline run."""

    settings: Config
    parent_id: str
    """Run id of the parent in MLflow."""

    @classmethod
    def of(cls, settings: str, run: str) -> StepContext:
        """Context of Kubeflow's run ``run``; ``settings`` as ``config.settings_text`` writes them.

        Raises ValueError for settings that there are not, RuntimeError where no parent run was opened.
        """
        console.configure_step()
        tether.hold()
        return cls(config.parse(settings), tracking.parent_of(run))

    def step(self, name: Step, *, sees_names: bool = False) -> AbstractContextManager[Progress]:
        """Record in the parent run that the step began and how the block ended; ``sees_names`` as ``tracking.step``."""
        return tracking.step(self.parent_id, name, sees_names=sees_names)

    def trial_log(self, trial: config.Trial, name: Step) -> TrialLog:
        """Log of a trial's child run for this step, which also records how it ended."""
        return tracking.trial_log(self.parent_id, trial, self.settings, step=name)
