"""A branch's critic as a file: for the audit of what was made with it, never for release.

The critic has seen the training images and the generator has not, so it is the critic's scores that tell best who was
among them (Hayes et al. 2019, LOGAN).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import torch

from mammogan import storage
from mammogan.models.critic import Critic
from mammogan.models.densenet import FrozenDenseNet
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.saved import read_saved

FORMAT = 1


class KeptCritic(NamedTuple):
    """A critic and what is to be known of its training."""

    critic: Critic
    validation_fraction: float
    """Share of the train split that it never saw, as ``train.validation_fraction``."""


def save_critic(critic: Critic, frozen_sha256: str, validation_fraction: float, path: Path) -> None:
    """Write the trained weights and what is needed to build the critic again, atomically; not the frozen branch."""
    content = {
        "format": FORMAT,
        "size": critic.size,
        "channels": critic.channels,
        "head": "sigmoid" if critic.sigmoid else "linear",
        "readout": critic.readout,
        "frozen_sha256": frozen_sha256,
        "validation_fraction": validation_fraction,
        "state_dict": {key: value.detach().cpu() for key, value in critic.trained_state().items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    storage.write_bytes(str(path), buffer.getvalue())


def load_critic(path: Path, frozen: FrozenDenseNet, frozen_sha256: str) -> KeptCritic:
    """Critic of a file of ``save_critic``, on the CPU, with the frozen branch that it was trained with.

    Raises FileNotFoundError where there is none, ValueError for another file or another frozen branch.
    """
    content = storage.read_bytes(str(path))
    try:
        kept = read_saved(io.BytesIO(content))
        if kept["format"] != FORMAT:
            raise ValueError(f"it has format {kept['format']}, not {FORMAT}")
        critic = Critic(kept["size"], kept["channels"], FoldedDenseNet(frozen), kept["head"], kept["readout"])
        trained_with, fraction = kept["frozen_sha256"], float(kept["validation_fraction"])
        if trained_with == frozen_sha256:
            critic.load_trained_state(kept["state_dict"])
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"critic={str(path)!r}: no critic of a branch ({reason}); train the branch again") from error
    if trained_with != frozen_sha256:
        raise ValueError(
            f"critic={str(path)!r}: it was trained with the frozen weights {trained_with[:12]}, "
            f"model.frozen_weights are {frozen_sha256[:12]}; give the same"
        )
    return KeptCritic(critic.eval(), fraction)
