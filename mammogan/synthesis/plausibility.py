"""Which synthetic images to leave out: those far from all real images, and those next to a training image.

With phi the features and r(x) the distance from a real image x to its third nearest other one, the realism of an image
g is max over x of r(x) / |phi(g) - phi(x)|, over the half of the reals with the smaller r (Kynkäänniemi et al. 2019,
equation 3 and section 4): at 1 and above g lies inside the estimated manifold. Its nearness is
min over x of |phi(g) - phi(x)|, divided by the median of the same between each real image and the others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammogan.config import Config, SynthesiseConfig
from mammogan.device import pick_device
from mammogan.errors import NotEnoughDataError
from mammogan.statistics import Floats

K = 3
REASONS = ("implausible", "near a training image")
Features = Callable[[Tensor], Floats]
"""uint8 (B, 1, H, W) -> (B, D), float64."""
Filter = Callable[[NDArray[np.uint8]], list[str]]
"""uint8 (B, H, W) -> for each image why it is left out; empty where it is kept."""


def keep_all(images: NDArray[np.uint8]) -> list[str]:
    """Leave out nothing."""
    return [""] * len(images)


class Plausibility:
    """Filter with the real images' features in memory, (N, D)."""

    def __init__(self, features: Features, train: Tensor, config: SynthesiseConfig) -> None:
        if len(train) <= K + 1:
            raise NotEnoughDataError(f"train has {len(train)} images: {K} neighbours need at least {K + 2}")
        self.features, self.config = features, config
        self.real = features(train)
        within = _distances(self.real, self.real)
        np.fill_diagonal(within, np.inf)
        nearest = np.sort(within, axis=1)
        self.radii = np.where(nearest[:, K - 1] <= np.median(nearest[:, K - 1]), nearest[:, K - 1], 0.0)
        self.usual = float(np.median(nearest[:, 0]))

    def __call__(self, images: NDArray[np.uint8]) -> list[str]:
        """Why each of the images (B, H, W), uint8, is left out; empty where it is kept."""
        realism, nearness = self.scores(images)
        implausible, near = realism < self.config.min_realism, nearness < self.config.min_distance
        return [REASONS[0] if a else REASONS[1] if b else "" for a, b in zip(implausible, near, strict=True)]

    def scores(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Realism and nearness, (B,) each, of images (B, H, W), uint8."""
        distances = _distances(self.features(torch.from_numpy(images)[:, None]), self.real)
        with np.errstate(divide="ignore", invalid="ignore"):
            realism = np.where(self.radii > 0, self.radii / distances, 0.0).max(axis=1)
            return realism, distances.min(axis=1) / self.usual


def _distances(x: Floats, y: Floats) -> Floats:
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0.0))


def load_filter(config: Config, train: Tensor | None) -> Filter:
    """Filter that the configuration asks for, on the evaluation's features; ``train`` are the class's real images.

    ``train`` is None where no data set is given. Raises ValueError where a filter then has nothing to compare with.
    """
    wanted = config.synthesise
    if not (wanted.min_realism or wanted.min_distance):
        return keep_all
    if train is None:
        name, value = max(
            ("min_realism", wanted.min_realism), ("min_distance", wanted.min_distance), key=lambda x: x[1]
        )
        raise ValueError(f"synthesise.{name}={value:g}: a filter needs real images; give a data set")
    from mammogan.features.extractor import extract, load_extractor

    device = pick_device()
    extractor = load_extractor(config.evaluate, device)
    return Plausibility(lambda images: extract(extractor, images, config.evaluate.batch_size), train, wanted)
