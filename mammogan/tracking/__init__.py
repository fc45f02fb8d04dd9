"""The experiment in MLflow: one parent run per pipeline run, one child run per trial, and reading them back.

Everything goes through ``MlflowClient`` with explicit run ids. The fluent API would adopt the run that Kubeflow's
MLflow plugin announces in ``MLFLOW_RUN_ID``, and would end runs that are not its own.

Runs are found by tags, so a step that starts twice finds the run of its first start: the parent by
``mammogan.run_key``, a child by its parent and ``mammogan.trial``.
"""

from mammogan.tracking.database import address_of, file_of
from mammogan.tracking.ending import end, end_if_over
from mammogan.tracking.finding import SHORT, find_run, list_runs
from mammogan.tracking.ledger import read_ledger, step
from mammogan.tracking.opening import begin
from mammogan.tracking.reading import Outcome, outcome, read_run
from mammogan.tracking.reference import log_measurements
from mammogan.tracking.relocation import follow, followed_copy
from mammogan.tracking.runs import (
    close,
    close_stopped,
    close_trials,
    find_parent,
    find_trial,
    log_artifact,
    log_dataset,
    log_decision,
    log_manifest,
    log_result,
    open_parent,
    open_trial,
    parent_of,
    set_tags,
)
from mammogan.tracking.server import (
    DATA_DIGEST,
    MODEL_VERSION,
    PROMOTION,
    REASON,
    REPORT,
    RUN_KEY,
    WHOLE_DIGEST,
    client,
    ensure_experiment,
)
from mammogan.tracking.stored import require_version
from mammogan.tracking.trial_log import TrialLog, trial_log

__all__ = [
    "DATA_DIGEST",
    "MODEL_VERSION",
    "PROMOTION",
    "REASON",
    "REPORT",
    "RUN_KEY",
    "SHORT",
    "WHOLE_DIGEST",
    "Outcome",
    "TrialLog",
    "address_of",
    "begin",
    "client",
    "close",
    "close_stopped",
    "close_trials",
    "end",
    "end_if_over",
    "ensure_experiment",
    "file_of",
    "find_parent",
    "find_run",
    "find_trial",
    "follow",
    "followed_copy",
    "list_runs",
    "log_artifact",
    "log_dataset",
    "log_decision",
    "log_manifest",
    "log_measurements",
    "log_result",
    "open_parent",
    "open_trial",
    "outcome",
    "parent_of",
    "read_ledger",
    "read_run",
    "require_version",
    "set_tags",
    "step",
    "trial_log",
]
