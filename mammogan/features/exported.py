"""Extractors of other people, from a TorchScript or ONNX file.

Such a network takes floats (B, 3, H, W) in [0, 255], three equal channels, and returns features (B, D) or
(B, D, 1, 1). Both kinds of file hold a graph, not pickled Python objects.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor


def load_exported(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """uint8 (B, 1, H, W) -> (B, D), float32. Raises ValueError for a file that is neither kind."""
    try:
        run = _onnx(path) if path.suffix.lower() == ".onnx" else _torchscript(path, device)
    except (RuntimeError, ImportError, ValueError) as error:
        raise ValueError(f"evaluate.extractor={str(path)!r} cannot be loaded: {str(error).splitlines()[0]}") from error

    def features(images: Tensor) -> Tensor:
        return run(images.float().expand(-1, 3, -1, -1).contiguous()).float().flatten(1)

    return features


def _torchscript(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        # torch discourages new TorchScript files; the published extractors are such files
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(str(path), map_location=device).eval()


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    except Exception as error:
        # its exceptions share no base but Exception
        raise ValueError(str(error)) from error
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.cpu().numpy()})[0])
