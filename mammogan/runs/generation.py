"""Images of a registered model, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammogan.launch import store

if TYPE_CHECKING:
    import numpy as np


def generate(
    model: str, count: int = 16, *, seed: int = 0, truncation: float = 1.0, tracking_uri: str | None = None
) -> np.ndarray:
    """Images (count, H, W), uint8, of a registered model such as ``models:/mammogan@champion``.

    Image i of a seed is the same whatever ``count`` is; ``truncation``, above 0 and up to 1, makes images more typical
    and less diverse. No code that lies with the model is run. Raises ValueError for a model that there is not, one
    whose files are not those that were registered, and a value out of its range.
    """
    from mammogan import registry

    return registry.generate(model, count, seed, truncation, store.tracking_uri(tracking_uri))
