"""When to stop a trial: KID against held-out images of the train split, which no update saw; the test split never."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mammogan.features.extractor import Extractor, extract
from mammogan.metrics.kid import kernel_distance
from mammogan.models.generator import Generator, sample
from mammogan.training.trial_folder import EpochMetrics

KID = "train/kid_held_out"
FAKES = 200
FAKES_SEED = 0
BATCH = 8


class HeldOutKid:
    """KID (unbiased, all images at once) of generators against uint8 ``held_out`` images (N, 1, H, W), N at least 2."""

    def __init__(self, held_out: Tensor, extractor: Extractor) -> None:
        self.extractor = extractor
        self.real = extract(extractor, held_out, BATCH)

    def compute(self, generator: Generator) -> float:
        """KID of 200 images of a fixed z."""
        fakes = sample(generator, FAKES, FAKES_SEED)
        return kernel_distance(self.real, extract(self.extractor, fakes, BATCH))


def snapshots_without_gain(history: Sequence[EpochMetrics]) -> int:
    """Snapshots since the one with the lowest KID, 0 where none was judged, from the rows of ``history.jsonl``."""
    judged = [row.metrics[KID] for row in history if KID in row.metrics]
    return len(judged) - 1 - judged.index(min(judged)) if judged else 0


def best_epoch(history: Sequence[EpochMetrics]) -> int:
    """Epoch of the lowest KID; some snapshot must have been judged."""
    return min((row for row in history if KID in row.metrics), key=lambda row: row.metrics[KID]).epoch
