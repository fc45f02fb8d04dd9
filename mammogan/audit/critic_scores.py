"""What a trial's critic says of the images that it was trained on, and of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from mammogan.config import Config
from mammogan.statistics import Floats

if TYPE_CHECKING:
    from mammogan.models.critic_file import KeptCritic


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


def critic_scores(path: Path, train: Reals, held_out: Reals, data_digest: str, config: Config) -> CriticScores:
    """Scores by the critic of a trial that was trained on ``train``.

    ``data_digest`` is that of the real images of the class, as ``training_set`` gives it. Raises as ``load_critic`` and
    ``load_frozen`` do, and ValueError for a critic of another size or other data, and for scores that are not finite.
    """
    from mammogan.features.densenet import load_frozen
    from mammogan.models.critic_file import load_critic
    from mammogan.training.diagnostics import scores

    kept = load_critic(path)
    _check_data(kept, train.images.shape[-1], data_digest)  # before weights are fetched
    frozen, identity = load_frozen(config.model.frozen_weights, config.model.frozen_sha256)
    critic = kept.critic(frozen, identity.sha256)
    members = scores(critic, train.images).numpy()
    others = scores(critic, held_out.images).numpy() if len(held_out.images) else np.empty(0)
    if not (np.isfinite(members).all() and np.isfinite(others).all()):
        raise ValueError(f"critic={str(path)!r}: its scores are not finite; train the trial again")
    return CriticScores(members, others, train.patients, held_out.patients)


def _check_data(kept: KeptCritic, side: int, data_digest: str) -> None:
    if side != kept.size:
        raise ValueError(
            f"critic={str(kept.path)!r}: it judges {kept.size} px, the images have {side}; give its data set"
        )
    if data_digest != kept.data_digest:
        raise ValueError(
            f"critic={str(kept.path)!r}: it was trained on the data {kept.data_digest[:12]}, the real images of the "
            f"class are {data_digest[:12]}; give the critic of a trial that learnt from them"
        )
