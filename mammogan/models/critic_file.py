"""A trial's critic as a file: for the audit of what was made with it, never for release.

The critic has seen the training images and the generator has not, so it is the critic's scores that tell best who was
among them (Hayes et al. 2019, LOGAN).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mammogan import storage
from mammogan.features.densenet import FrozenDenseNet
from mammogan.features.saved import OUT_OF_MEMORY, read_saved, require_shapes
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet

FORMAT = 2
"""Raised when a field changes its meaning. A critic of format 1 had not seen all train images."""


KINDS = {
    "size": int, "channels": int, "head": str, "readout": str, "frozen_sha256": str, "data_digest": str,
    "state_dict": dict,
}  # fmt: skip
"""Types of what a file holds, as it was written."""


@dataclass(frozen=True)
class KeptCritic:
    """Content of a file of ``save_critic``: the trained weights, and what is to be known of their training."""

    path: Path
    size: int
    """Side of the images that it judges, in pixels."""
    channels: int
    head: Literal["linear", "sigmoid"]
    readout: Literal["flat", "projected"]
    frozen_sha256: str
    """Of the frozen branch's weights, which are not in the file."""
    data_digest: str
    """Of all splits of the class whose train images it learnt from, as ``training_set`` gives it."""
    state_dict: dict[str, Tensor]

    def critic(self, frozen: FrozenDenseNet, frozen_sha256: str) -> Critic:
        """The critic on the CPU, with the frozen branch that it was trained with.

        Raises ValueError for another frozen branch, and for weights that are not those of such a critic.
        """
        if self.frozen_sha256 != frozen_sha256:
            raise ValueError(
                f"critic={str(self.path)!r}: it was trained with the frozen weights {self.frozen_sha256[:12]}, not "
                f"{frozen_sha256[:12]}; give --set model.frozen_weights=... as in the training (random for the demo)"
            )
        try:
            shape = (self.size, self.channels, FoldedDenseNet(frozen), self.head, self.readout)
            with torch.device("meta"):
                require_shapes(Critic(*shape).trained_state(), self.state_dict)
        except OUT_OF_MEMORY:
            raise
        except Exception as error:
            raise _no_critic(self.path, error) from error
        critic = Critic(*shape)
        critic.load_trained_state(self.state_dict)
        return critic.eval()


def save_critic(critic: Critic, path: Path, *, frozen_sha256: str, data_digest: str) -> None:
    """Write the trained weights and what is needed to build the critic again, atomically; not the frozen branch."""
    content = {
        "format": FORMAT,
        "size": critic.size,
        "channels": critic.channels,
        "head": "sigmoid" if critic.sigmoid else "linear",
        "readout": critic.readout,
        "frozen_sha256": frozen_sha256,
        "data_digest": data_digest,
        "state_dict": {key: value.detach().cpu() for key, value in critic.trained_state().items()},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    storage.write_bytes(str(path), buffer.getvalue())


def load_critic(path: Path) -> KeptCritic:
    """Content of a file of ``save_critic``; the weights are looked at when the critic is built.

    Raises FileNotFoundError where there is none, ValueError for any other file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"critic={str(path)!r}: there is no such file; give the critic.pt of a trial")
    try:
        content = read_saved(path)
        if not isinstance(content, Mapping):
            raise ValueError(f"it holds a {type(content).__name__}")
        if absent := [name for name in ("format", *KINDS) if name not in content]:
            raise ValueError(f"it has no {', '.join(absent)}")
        if content["format"] != FORMAT:
            raise ValueError(f"it has format {content['format']}, not {FORMAT}")
        for name, kind in KINDS.items():
            if type(content[name]) is not kind:
                raise ValueError(f"its {name} is a {type(content[name]).__name__}, not a {kind.__name__}")
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        raise _no_critic(path, error) from error
    return KeptCritic(path, **{name: content[name] for name in KINDS})


def _no_critic(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:300]
    return ValueError(f"critic={str(path)!r}: no critic of a trial ({reason}); give the critic.pt of one")
