"""The generator for runtimes without this package: TorchScript and ONNX, each checked against the original."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mammogan import storage
from mammogan.models.generator import Generator, draw_latents, load_generator

TOLERANCE = 1e-4
ONNX_OPSET = 18
CHECKED_LATENTS = 8


@dataclass(frozen=True)
class _Export:
    """A format's whole file, and what it makes of the latents that are tried."""

    content: bytes
    images: Tensor


def export(snapshot: Path, out: Path) -> dict[str, float]:
    """Write ``generator.ts`` and ``generator.onnx`` to ``out``, with ``exports.json``; returns each one's worst error.

    Both map z (B, latent_dim), float32, standard Gaussian, to images (B, 1, H, W), float32, [-1, 1], for any B. Raises
    RuntimeError for an export that differs from the original by more than 1e-4, and where onnx is not installed; then
    nothing is written. A file of that name is replaced whole or stays.
    """
    generator = load_generator(snapshot)
    z = draw_latents(CHECKED_LATENTS, generator.latent_dim, seed=0)
    with torch.no_grad():
        expected = generator(z)
    exported = {"generator.ts": _torchscript(generator, z), "generator.onnx": _onnx(generator, z)}
    errors = {name: float((each.images - expected).abs().max()) for name, each in exported.items()}
    for name, error in errors.items():
        if not error <= TOLERANCE:
            raise RuntimeError(
                f"{name} differs from the generator by {error:.2g}, more than {TOLERANCE:g}; do not use it"
            )
    about = {"latent_dim": generator.latent_dim, "size": generator.size, "worst_error": errors}
    for name, each in exported.items():
        storage.write_bytes(str(out / name), each.content)
    storage.write_bytes(str(out / "exports.json"), (json.dumps(about, indent=2) + "\n").encode())
    return errors


@torch.no_grad()
def _torchscript(generator: Generator, z: Tensor) -> _Export:
    """TorchScript module, read back."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        # torch would rather have torch.export, which C++ and older runtimes cannot load
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.trace(generator, z[:2]), content)
        content.seek(0)
        images = torch.jit.load(content)(z)
    return _Export(content.getvalue(), images)


def _onnx(generator: nn.Module, z: Tensor) -> _Export:
    """ONNX model, run by onnxruntime on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeError("onnxruntime is not installed; install onnx, onnxruntime and onnxscript") from error
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        generator,
        (z,),
        input_names=["z"],
        output_names=["images"],
        dynamic_shapes=({0: batch},),
        opset_version=ONNX_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return _Export(content, torch.from_numpy(session.run(None, {"z": z.numpy()})[0]))
