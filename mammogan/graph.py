"""The steps of the graph by name: what pipeline.py connects, pods are sized for and a run's record lists."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """One step, as Kubeflow names its task; in the order in which they begin."""

    START = "start"
    INGEST = "ingest"
    FILTER_MINORITY = "filter-minority"
    TRAIN = "train"
    EVALUATE = "evaluate"
    SELECT = "select"
    EVALUATE_WINNER = "evaluate-winner"
    REGISTER = "register"
    SYNTHESISE = "synthesise"
    AUDIT = "audit"
    PROMOTE = "promote"
    UTILITY = "utility"
    FINISH = "finish"


PER_TRIAL = (Step.TRAIN, Step.EVALUATE)
"""Steps of which there is one for each (lambda, seed)."""
ACCELERATED = (Step.TRAIN, Step.EVALUATE, Step.EVALUATE_WINNER, Step.AUDIT, Step.UTILITY)
"""Steps that run on an accelerator where there is one."""
BEFORE_TRAINING = (Step.START, Step.INGEST, Step.FILTER_MINORITY)
"""Steps of every run, also of one that has nothing to train."""
AFTER_A_WINNER = (
    Step.EVALUATE_WINNER,
    Step.REGISTER,
    Step.SYNTHESISE,
    Step.AUDIT,
    Step.PROMOTE,
    Step.UTILITY,
)
"""Steps that follow where the selection has a winner."""
