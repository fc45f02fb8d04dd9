"""When to stop a trial: KID against the validation images, which no update saw; test images never.

KID of a sample is noisy, so a snapshot counts as better only where it is lower than the best before it by more than the
noise of their difference: 1.645 standard errors, which equal snapshots exceed in one of twenty. The held-out images are
the same for both and fall out of the difference but for a part of second order; what is left is the noise of the fakes
drawn, whose standard error each snapshot records beside its KID. Small gains add up, for the best stays where it is
until they do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from mammogan.features.extractor import Extractor, extract
from mammogan.metrics.kid import kernel_distance, kernel_error
from mammogan.models.generator import Generator, sample
from mammogan.training.trial_folder import EpochMetrics

KID = "train/kid_held_out"
ERROR = "train/kid_held_out_error"
RULE = "1000 fakes, gains beyond 1.645 standard errors"
"""Part of a trial's key: another rule may stop it elsewhere."""
FAKES = 1000
FAKES_SEED = 0
BATCH = 8
NOISE = 1.645
"""Standard errors of the difference that a gain must exceed."""


class HeldOutKid:
    """KID (unbiased, all images at once) of generators against uint8 ``held_out`` images (N, 1, H, W), N at least 2."""

    def __init__(self, held_out: Tensor, extractor: Extractor) -> None:
        self.extractor = extractor
        self.real = extract(extractor, held_out, BATCH)

    def compute(self, generator: Generator) -> dict[str, float]:
        """KID of 1000 images of a fixed z, and the standard error that these images bring in, by their names."""
        fakes = extract(self.extractor, sample(generator, FAKES, FAKES_SEED), BATCH)
        return {KID: kernel_distance(self.real, fakes), ERROR: kernel_error(self.real, fakes) or 0.0}


def snapshots_without_gain(history: Sequence[EpochMetrics]) -> int:
    """Snapshots since the best one, 0 where none was judged, from the rows of ``history.jsonl``."""
    judged = [row for row in history if KID in row.metrics]
    return len(judged) - 1 - judged.index(_best(judged)) if judged else 0


def best_epoch(history: Sequence[EpochMetrics]) -> int:
    """Epoch of the last snapshot that was better than all before it; some snapshot must have been judged."""
    return _best([row for row in history if KID in row.metrics]).epoch


def _best(judged: Sequence[EpochMetrics]) -> EpochMetrics:
    best = judged[0]
    for row in judged[1:]:
        if _is_better(row.metrics, best.metrics):
            best = row
    return best


def _is_better(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one[KID] < other[KID] - NOISE * math.hypot(one[ERROR], other[ERROR])
