"""Weights of DenseNet121's trunk, all before its classifier, from a file of RadImageNet's, torchvision's or its own."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mammogan.features.weights import read_state

PREFIXES = ("backbone.0.", "features.", "")
"""What the trunk's keys begin with: in RadImageNet's file, in torchvision's, and in a trunk saved alone."""


def read_trunk(path: Path, setting: str) -> nn.Sequential:
    """DenseNet121's trunk with the weights of a file, in train mode. Raises as ``load_trunk`` does."""
    from torchvision.models import densenet121

    trunk = densenet121(weights=None).features
    load_trunk(trunk, path, setting)
    return trunk


def load_trunk(trunk: nn.Module, path: Path, setting: str) -> None:
    """Put the weights of a file into DenseNet121's ``trunk``; a classifier in the file is left out.

    ``setting`` says where the path was given, such as ``model.frozen_weights``. Raises ValueError for a file that is no
    plain state dict, and for keys or shapes that are not exactly those of DenseNet121.
    """
    state = _trunk_state(path, setting)
    try:
        trunk.load_state_dict(state)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise ValueError(f"{setting}: {path} has not DenseNet121's keys and shapes ({detail})") from error


def _trunk_state(path: Path, setting: str) -> dict[str, Tensor]:
    """State of a file by torchvision's names."""
    try:
        state = read_state(path)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}; give a PyTorch state dict") from error
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{setting}: {path} holds other things than tensors; give a plain state dict")
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}conv0.weight" in state), None)
    if prefix is None:
        raise ValueError(
            f"{setting}: {path} does not hold DenseNet121 but keys such as {sorted(state)[:2]}; give one with "
            "backbone.0.conv0.weight (RadImageNet) or features.conv0.weight (torchvision)"
        )
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key: value for key, value in own.items() if not key.startswith("classifier.")}
