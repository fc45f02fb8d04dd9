"""Extractors of other people, from a TorchScript or ONNX file.

Such a network takes floats (B, 3, H, W) in [0, 255], three equal channels, and returns features (B, D) or
(B, D, 1, 1). An ONNX file is a graph of known operations. A TorchScript file is a program, which may read and write
files with the rights of who loads it: it is loaded only where its sha256 is that of a file that somebody trusts.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class ExportedNetwork:
    """A network of a file."""

    sha256: str
    """Hex sha256 of the file."""
    features: Callable[[Tensor], Tensor]
    """uint8 (B, 1, H, W) -> (B, D), float32."""


def load_exported(path: Path, device: torch.device, expected: str = "") -> ExportedNetwork:
    """Network of a TorchScript or ONNX file, whose sha256 must be ``expected``, which only ONNX may do without.

    Raises ValueError for a file that is neither kind or has another sha256; nothing of it was run then.
    """
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    is_onnx = path.suffix.lower() == ".onnx"
    if sha256 != expected.lower() and (expected or not is_onnx):
        raise ValueError(
            f"evaluate.extractor_sha256={expected!r}: sha256 of {path} is {sha256}; give this one if you trust the file"
            + ("" if is_onnx else ", a TorchScript program that runs with your rights")
        )
    try:
        run = _onnx(path) if is_onnx else _torchscript(content, device)
    except (RuntimeError, ImportError, ValueError) as error:
        raise ValueError(f"evaluate.extractor={str(path)!r} cannot be loaded: {str(error).splitlines()[0]}") from error

    def features(images: Tensor) -> Tensor:
        return _features(run(images.float().expand(-1, 3, -1, -1).contiguous()), len(images))

    return ExportedNetwork(sha256, features)


def _features(output: object, count: int) -> Tensor:
    """(B, D), float32, of what a network made of ``count`` images. Raises ValueError where that is no features."""
    if not isinstance(output, Tensor):
        raise ValueError(f"of {count} images it makes a {type(output).__name__}, and not a tensor (N, D)")
    shape = tuple(output.shape)
    if len(shape) not in (2, 4) or shape[0] != count or not shape[1] or shape[2:] not in ((), (1, 1)):
        raise ValueError(f"of {count} images it makes {shape}, and not features (N, D) or (N, D, 1, 1)")
    return output.float().flatten(1)


def _torchscript(content: bytes, device: torch.device) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        # torch discourages new TorchScript files; the published extractors are such files
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(io.BytesIO(content), map_location=device).eval()


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would print beside an error is in the error
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except MemoryError:
        raise
    except Exception as error:
        # its exceptions share no base but Exception
        raise ValueError(str(error)) from error
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.cpu().numpy()})[0])
