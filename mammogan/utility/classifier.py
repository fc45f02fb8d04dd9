"""The classifiers, and one training: images in, scores of the test images out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammogan import storage
from mammogan.config import Config
from mammogan.device import float32_convolutions
from mammogan.features.densenet_weights import load_trunk
from mammogan.models.generator import to_float
from mammogan.training.augment import augment
from mammogan.training.randomness import rng_for, weights_seed
from mammogan.utility.arms import Arm

WIDTHS = (16, 32, 64, 64)
GROUPS = 8
WEIGHT_DECAY = 1e-4
SCORED_AT_ONCE = 64


def small_cnn() -> nn.Sequential:
    """(B, 1, H, W), [-1, 1] -> (B, 1) logits, 66,000 weights; GroupNorm, so that no image depends on its batch."""
    layers: list[nn.Module] = []
    before = 1
    for width in WIDTHS:
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.GroupNorm(GROUPS, width), nn.ReLU(), nn.MaxPool2d(2)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1))


class DenseNetClassifier(nn.Module):
    """DenseNet121 whose features start from RadImageNet's weights, or random ones; (B, 1, H, W) -> (B, 1) logits."""

    def __init__(self, weights: str, sha256: str) -> None:
        super().__init__()
        from torchvision.models import densenet121

        self.network = densenet121(weights=None, num_classes=1)
        if weights != "random":
            load_trunk(self.network.features, storage.fetch(weights, sha256), "model.frozen_weights")

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the images."""
        return self.network(x.expand(-1, 3, -1, -1))


def new_classifier(config: Config, seed: int) -> nn.Module:
    """Classifier that the configuration asks for, its random weights a function of the seed. Raises as loaders do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights_seed(seed))
        if config.utility.classifier == "small_cnn":
            return small_cnn()
        return DenseNetClassifier(config.model.frozen_weights, config.model.frozen_sha256)


@float32_convolutions()
def train_and_score(arm: Arm, test: Tensor, config: Config, seed: int, device: torch.device) -> Tensor:
    """Probability of malignant (T,), float32, for the uint8 test images, by a classifier trained on the arm.

    Every arm of a seed starts from the same weights and gets the same number of optimiser steps, so that more images
    do not mean more training. All random numbers depend on the seed and the step alone.
    """
    settings = config.utility
    classifier = new_classifier(config, seed).to(device).train()
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    images = torch.cat(arm.classes).to(device)
    counts = [len(images) for images in arm.classes]
    for step in range(settings.steps):
        rng = rng_for(seed, "step", step, torch.device("cpu"))
        chosen = draw(counts, settings.batch_size, arm.oversample, rng)
        batch = to_float(images[chosen.to(device)])
        if arm.augment:
            batch = augment(batch, config.train, rng_for(seed, "order", step, device))
        target = (chosen >= counts[0]).float().to(device)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(classifier(batch).squeeze(1), target).backward()
        optimiser.step()
    return _scores(classifier, test, device)


def draw(counts: list[int], batch_size: int, oversample: bool, rng: torch.Generator) -> Tensor:
    """Indices (batch_size,) into benign then malignant images: all alike, or half from each class."""
    if not oversample:
        return torch.randint(sum(counts), (batch_size,), generator=rng)
    half = batch_size // 2
    benign = torch.randint(counts[0], (batch_size - half,), generator=rng)
    return torch.cat([benign, counts[0] + torch.randint(counts[1], (half,), generator=rng)])


@torch.inference_mode()
def _scores(classifier: nn.Module, test: Tensor, device: torch.device) -> Tensor:
    classifier.eval()
    parts = [classifier(to_float(part.to(device))).squeeze(1).sigmoid() for part in test.split(SCORED_AT_ONCE)]
    return torch.cat(parts).float().cpu()
