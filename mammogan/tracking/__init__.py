"""The experiment in MLflow: one parent run per pipeline run, one child run per branch, and reading them back.

Everything goes through ``MlflowClient`` with explicit run ids. The fluent API would adopt the run that Kubeflow's
MLflow plugin announces in ``MLFLOW_RUN_ID``, and would end runs that are not its own.

Runs are found by tags, so a step that starts twice finds the run of its first start: the parent by
``mammogan.run_key``, a child by its parent and ``mammogan.branch``.
"""

from mammogan.tracking.branch_log import BranchLog, branch_log
from mammogan.tracking.ending import end, end_if_over
from mammogan.tracking.ledger import read_ledger, step
from mammogan.tracking.opening import begin
from mammogan.tracking.reading import Outcome, outcome, read_run
from mammogan.tracking.runs import (
    close,
    close_branches,
    close_stopped,
    find_branch,
    find_parent,
    log_artifact,
    log_dataset,
    log_decision,
    open_branch,
    open_parent,
    parent_of,
    set_tags,
)
from mammogan.tracking.server import (
    DATA_DIGEST,
    MODEL_VERSION,
    PROMOTION,
    REPORT,
    WHOLE_DIGEST,
    client,
    ensure_experiment,
)

__all__ = [
    "DATA_DIGEST",
    "MODEL_VERSION",
    "PROMOTION",
    "REPORT",
    "WHOLE_DIGEST",
    "BranchLog",
    "Outcome",
    "begin",
    "branch_log",
    "client",
    "close",
    "close_branches",
    "close_stopped",
    "end",
    "end_if_over",
    "ensure_experiment",
    "find_branch",
    "find_parent",
    "log_artifact",
    "log_dataset",
    "log_decision",
    "open_branch",
    "open_parent",
    "outcome",
    "parent_of",
    "read_ledger",
    "read_run",
    "set_tags",
    "step",
]
