"""Weights of the metrics' networks: read safely, found in torch's hub cache, identified by sha256."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mammogan.features.saved import read_saved


def in_hub_cache(name: str) -> Path:
    """Where torch's hub cache (``$TORCH_HOME``) keeps the file ``name``, whether or not it is there."""
    return Path(torch.hub.get_dir(), "checkpoints", name)


def read_state(path: Path) -> Mapping[str, Tensor]:
    """State dict of a file, loaded without running code. Raises ValueError for any other content."""
    try:
        state = read_saved(path, mmap=zipfile.is_zipfile(path))
    except (ValueError, zipfile.BadZipFile) as error:  # is_zipfile raises of several disks
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}: give a file with a state dict")
    return state


def sha256_of_state(model: nn.Module) -> str:
    """Hex sha256 over names, shapes and values, for weights that no file holds."""
    content = hashlib.sha256()
    for name, value in model.state_dict().items():
        content.update(f"{name}{tuple(value.shape)}".encode())
        content.update(value.cpu().contiguous().numpy().data)
    return content.hexdigest()
