"""Images of a generator in memory, by the settings that fill up a data set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mammogan.config import Config
from mammogan.data.dataset import Dataset
from mammogan.synthesis.plausibility import load_filter
from mammogan.synthesis.sampling import Model, batches
from mammogan.synthesis.stream import require_yield


def draw_images(model: Model, count: int, label: int, config: Config, dataset: Dataset, seed: int) -> Tensor:
    """The first ``count`` images, uint8 (count, 1, H, W), that pass the filters of ``config``, of another seed.

    They are what ``fill`` would add to the real images of ``dataset`` with ``synthesise.seed`` = ``seed``. Raises
    ValueError where the filters leave out nearly all.
    """
    left_out = load_filter(config, dataset.real.train.of(label).images())
    kept: list[np.ndarray] = []
    drawn = 0
    for images in batches(model.generator, seed, config.synthesise.truncation, 0):
        kept += [image for image, reason in zip(images, left_out(images), strict=True) if not reason]
        drawn += len(images)
        if len(kept) >= count:
            return torch.from_numpy(np.stack(kept[:count]))[:, None]
        require_yield(config.synthesise, len(kept), drawn, count)
    raise AssertionError("the batches have no end")
