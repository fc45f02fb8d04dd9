"""Which reals rank the snapshots: those of validation patients where there are enough, else the train ones.

Never the test reals: the winner is measured on them once, when it has been chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from mammogan.config import SelectConfig
from mammogan.records import RunRecord
from mammogan.results import Evaluation, RankingReason

TRAIN, VALIDATION = "train", "validation"


def ranking_pairing(evaluations: Sequence[Evaluation], settings: SelectConfig) -> tuple[str, RankingReason]:
    """Pairing of the deciding measurements, ``train`` or ``validation``, and why it is that one.

    By ``select.against=auto`` validation where the first deciding metric has an interval there: with fewer patients
    the ranking would be chance. All trials are ranked alike; one that lacks the pairing has no candidate.
    """
    if settings.against != "auto":
        return settings.against, RankingReason.SETTING
    metric = settings.metrics.split(",")[0]
    measured = (item for evaluation in evaluations for item in evaluation.of(metric, VALIDATION))
    if any(item.low is not None for item in measured):
        return VALIDATION, RankingReason.VALIDATION
    return TRAIN, RankingReason.NO_VALIDATION


def pairing_of_run(record: RunRecord) -> str:
    """The pairing by which a run's snapshots were ranked, or would be where it ended before that."""
    if record.decision and not record.decision.skipped:
        return record.decision.against
    settings = record.config.select if record.config else SelectConfig()
    return ranking_pairing([item.evaluation for item in record.trials if item.evaluation], settings)[0]
