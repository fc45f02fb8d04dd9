"""A run in MLflow that was measured and decided, without any training: three lambdas with two seeds each."""

import pytest
from sample_run import snapshot_evaluation

from mammogan import tracking
from mammogan.config import override, resolve
from mammogan.selection.ranking import select

CONFIG = override(resolve("demo"), {"lambdas": "0.5,3,5", "seeds": "0,1"})
KID = {0.5: (0.1, 0.2), 3.0: (0.2, 0.3), 5.0: (0.165, 0.235)}


@pytest.fixture(scope="module")
def measured_run(database, tmp_path_factory):
    """Run id of the parent; ``MLFLOW_TRACKING_URI`` names its MLflow."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", database)
        patch.setenv("MAMMOGAN_SPOOL", str(folder / "spool"))
        tracking.ensure_experiment("mammogan", str(folder / "artifacts"))
        parent = tracking.open_parent("mammogan", "key", CONFIG, {})
        evaluations = []
        for trial in CONFIG.trials:
            evaluations.append(snapshot_evaluation(trial, 1, KID[trial.gp_lambda][trial.seed]))
            with tracking.trial_log(parent, trial, CONFIG, step="evaluate") as log:
                log.finish(evaluations[-1])
        tracking.log_decision(parent, select(evaluations, CONFIG.select))
        tracking.close(parent, "FINISHED")
        yield parent
