"""What a branch's critic says of the images that it was trained on, and of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mammogan.config import Config
from mammogan.metrics.intervals import Floats


@dataclass(frozen=True)
class Reals:
    """Real images and whose they are."""

    images: Tensor
    """uint8 (N, 1, H, W)."""
    patients: Sequence[str]
    """Patient of each image."""


@dataclass(frozen=True)
class CriticScores:
    """The critic's outputs for real images, and whose those are."""

    members: Floats
    """(n,): of images that it was trained on."""
    others: Floats
    """(h,): of held-out images."""
    member_patients: Sequence[str]
    other_patients: Sequence[str]


def critic_scores(path: Path, train: Reals, held_out: Reals, config: Config) -> CriticScores:
    """Scores by the critic of a branch that was trained on ``train``, which may have set some of its patients aside.

    Those are neither members nor held out here: the training was stopped by them. Raises as ``load_critic`` and
    ``load_frozen`` do, and ValueError for images of another size than the critic's.
    """
    from mammogan.models.critic_file import load_critic
    from mammogan.models.densenet import load_frozen
    from mammogan.training.carve_out import carve_out
    from mammogan.training.watch import scores

    frozen, identity = load_frozen(config.model.frozen_weights, config.model.frozen_sha256)
    critic, fraction = load_critic(path, frozen, identity["sha256"])
    side = train.images.shape[-1]
    if side != critic.size:
        raise ValueError(f"critic={str(path)!r}: it judges {critic.size} px, the images have {side}; give its data set")
    kept, _ = carve_out(len(train.images), fraction, train.patients)
    return CriticScores(
        scores(critic, train.images[kept]).numpy(),
        scores(critic, held_out.images).numpy(),
        [train.patients[index] for index in kept.tolist()],
        held_out.patients,
    )
