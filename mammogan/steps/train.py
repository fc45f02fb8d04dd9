"""Train one trial of the fan-out."""

from __future__ import annotations

from pathlib import Path

from mammogan import storage
from mammogan.config import Trial
from mammogan.data.minority import training_set
from mammogan.graph import Step
from mammogan.steps.context import StepContext
from mammogan.tracking.server import CRITIC_SHA256
from mammogan.training.trial import train_trial
from mammogan.training.trial_folder import CRITIC


def run(context: StepContext, trial: str, store: str, minority: Path, out: Path) -> None:
    """Train the generator of one (lambda, seed); a trial that fails raises nothing."""
    part = Trial.parse(trial)
    with context.trial_log(part, Step.TRAIN) as log:
        learnt = training_set(minority, context.settings.data.minority)
        result = train_trial(
            learnt.images,
            context.settings,
            part,
            data_digest=learnt.data_digest,
            store=store,
            out=out,
            report=log.metrics,
            report_grid=log.grid,
            report_error=log.failure,
            validation=learnt.validation,
        )
        if (out / CRITIC).is_file():
            log.tags({CRITIC_SHA256: storage.sha256_of(out / CRITIC)})
        log.finish(result)
