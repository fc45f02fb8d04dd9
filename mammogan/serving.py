"""The registered model: a table of requests in, images out.

MLflow loads a model by calling ``_load_pyfunc`` of this module with the snapshot's path (its ``python_function``
loader protocol), so the model holds no pickled code, and this module needs no mlflow.

A request is a row with ``n`` (images, from 1), ``seed`` (from 0, of 32 bits) and optionally ``truncation`` in (0, 1]:
the latent z is multiplied by it, which trades diversity for typical images. Image i of a seed is the same whatever
``n`` is.
The answer has a row per image: ``seed``, ``index`` and ``png``, an 8-bit grey PNG. With the parameter
``format="array"`` it is one array instead, (N, H, W), uint8.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from mammogan.config import require_seed
from mammogan.device import float32_convolutions, pick_device
from mammogan.models.generator import Generator, draw_latents, load_generator, to_uint8

FORMATS = ("png", "array")
BATCH_SIZE = 64
MOST_IMAGES = 100_000
"""Most images of one request: a typing error must not fill a server's memory."""
MOST_SHOWN = 64
"""Images of a contact sheet."""


class GeneratorService:
    """Answers requests with a generator, on the CPU or the GPU where there is one."""

    def __init__(self, generator: Generator) -> None:
        self._device = pick_device()
        self._generator = generator.to(self._device).eval()

    def predict(self, data: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame | np.ndarray:
        """Images of every request, in order, in the form that the module's description gives.

        Raises ValueError naming the column and the value for a request outside its range.
        """
        form = (params or {}).get("format", "png")
        if form not in FORMATS:
            raise ValueError(f"format={form!r}: choose one of {', '.join(FORMATS)}")
        requests = [_checked(row) for row in data.to_dict(orient="records")]
        images = [self.images(n, seed, truncation) for n, seed, truncation in requests]
        if form == "array":
            return np.concatenate(images) if images else np.empty((0, 0, 0), np.uint8)
        rows = [
            (seed, index, png_bytes(image))
            for (_, seed, _), pictures in zip(requests, images, strict=True)
            for index, image in enumerate(pictures)
        ]
        return pd.DataFrame(rows, columns=["seed", "index", "png"])

    @torch.no_grad()
    @float32_convolutions()
    def images(self, n: int, seed: int, truncation: float = 1.0) -> np.ndarray:
        """Images (n, H, W), uint8, of the latents of ``seed`` multiplied by ``truncation``."""
        z = draw_latents(n, self._generator.latent_dim, seed) * truncation
        parts = [to_uint8(self._generator(part.to(self._device))).cpu() for part in z.split(BATCH_SIZE)]
        return torch.cat(parts).squeeze(1).numpy()


def _checked(row: Mapping[str, Any]) -> tuple[int, int, float]:
    """Count, seed and truncation of a row of MLflow's request, whose cells may hold anything."""
    n, seed = (_whole(name, row.get(name)) for name in ("n", "seed"))
    truncation = row.get("truncation")
    if truncation is None or math.isnan(truncation):
        truncation = 1.0
    if not 1 <= n <= MOST_IMAGES:
        raise ValueError(f"n={n!r}: ask for 1 to {MOST_IMAGES} images")
    require_seed("seed", seed)
    if not 0 < truncation <= 1:
        raise ValueError(f"truncation={truncation!r}: give a number above 0 and up to 1")
    return n, seed, float(truncation)


def _whole(name: str, value: object) -> int:
    """A cell that holds a whole number; a table that lacks one elsewhere has them all as floats."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r}: give a whole number")
    return int(value)


def png_bytes(image: np.ndarray) -> bytes:
    """PNG of one image (H, W), uint8."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def contact_sheet(images: np.ndarray) -> np.ndarray:
    """The first images (N, H, W), uint8, side by side in one (H', W'), uint8, near to a square, white between them."""
    from mammogan.training.grid import tile

    shown = images[:MOST_SHOWN]
    columns = math.ceil(math.sqrt(len(shown)))
    return tile(torch.from_numpy(shown)[:, None], columns).numpy()


def _load_pyfunc(data_path: str) -> GeneratorService:
    """The service of the snapshot at ``data_path``; MLflow calls this by its name."""
    return GeneratorService(load_generator(Path(data_path)))
