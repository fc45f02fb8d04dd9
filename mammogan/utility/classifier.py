"""The classifiers, and one training: images in, scores of the test images out.

A batch holds both classes alike in every arm, so that its logits are those of classes that are equally frequent. They
are shifted by the log-odds of the real training images' share to be probabilities of what is really met (Saerens,
Latinne and Decaestecker 2002, Neural Computation 14, equation 2.4, for two classes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
Classes = tuple[Tensor, Tensor]
"""Benign and malignant images."""


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


@dataclass(frozen=True)
class Fit:
    """What one training came to."""

    scores: tuple[float, ...]
    """Probability of malignant of each test image, at the real training images' own share of malignant ones."""
    steps: int
    """Optimiser steps behind the weights that scored."""
    plateau: bool
    """Whether the validation loss had stopped falling before the steps were used up."""


@float32_convolutions()
def train_and_score(
    arm: Arm, validation: Classes, test: Tensor, share: float, config: Config, seed: int, device: torch.device
) -> Fit:
    """Train on the arm until the loss of the validation images has reached its plateau, and score the test images once.

    ``validation`` holds benign and malignant images, ``test`` (T, 1, H, W) those to score, all uint8; ``share``, in
    (0, 1), is the share of malignant ones among the real training images. The rule is the same in every arm: every
    ``check_every`` steps the loss of the validation images, both classes weighing alike, is taken; ``patience`` looks
    without a lower one, or ``steps``, end the training, and the weights of the lowest are used. A seed gives every arm
    the same initial weights and draws; all random numbers depend on the seed and the step alone.

    Raises ValueError where the training diverges.
    """
    settings = config.utility
    classifier = new_classifier(config, seed).to(device).train()
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    images = torch.cat(arm.classes).to(device)
    counts = [len(part) for part in arm.classes]
    # what the logits of a training are told of the classes' shares; they are taken to shares alike, and at last to real
    drawn = _log_odds(share) if arm.natural else _log_odds(settings.batch_size // 2 / settings.batch_size)
    best = Best(math.inf, 0, {})
    looks = 0
    for step in range(settings.steps):
        rng = rng_for(seed, "step", step, torch.device("cpu"))
        chosen = draw(counts, settings.batch_size, rng)
        batch = to_float(images[chosen.to(device)])
        if arm.augment:
            batch = augment(batch, config.train, rng_for(seed, "order", step, device))
        target = (chosen >= counts[0]).float().to(device)
        weights = _natural_weights(target, share) if arm.natural else None
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(classifier(batch).squeeze(1), target, weights).backward()
        optimiser.step()
        if (step + 1) % settings.check_every and step + 1 < settings.steps:
            continue
        loss = _balanced_loss(classifier, validation, drawn, device)
        looks = 0 if loss < best.loss else looks + 1
        if not looks:
            best = Best(loss, step + 1, {name: value.clone() for name, value in classifier.state_dict().items()})
        if looks == settings.patience:
            break
    if best.weights:  # none where no loss was finite
        classifier.load_state_dict(best.weights)
    scores = (_logits(classifier, test, device) - drawn + _log_odds(share)).sigmoid()
    if not scores.isfinite().all():
        raise ValueError(f"utility.learning_rate={settings.learning_rate!r}: a classifier diverged; give a lower one")
    return Fit(tuple(scores.tolist()), best.step, looks == settings.patience)


@dataclass(frozen=True)
class Best:
    """The weights with the lowest validation loss so far."""

    loss: float
    step: int
    weights: dict[str, Tensor]


def draw(counts: Sequence[int], batch_size: int, rng: torch.Generator) -> Tensor:
    """Indices (batch_size,) into benign then malignant images, half from each class; of an odd one fewer malignant."""
    half = batch_size // 2
    benign = torch.randint(counts[0], (batch_size - half,), generator=rng)
    return torch.cat([benign, counts[0] + torch.randint(counts[1], (half,), generator=rng)])


def _natural_weights(target: Tensor, share: float) -> Tensor:
    """Weights (B,) by which the loss of a batch is, in expectation, that of images drawn by their natural shares."""
    sampled = target.mean()
    return torch.where(target > 0, share / sampled, (1 - share) / (1 - sampled))


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _balanced_loss(classifier: nn.Module, images: Classes, drawn: float, device: torch.device) -> float:
    """Cross-entropy of images, the mean of both classes', at shares alike; infinite where it is no number."""
    parts = []
    for label, part in enumerate(images):
        logits = _logits(classifier, part, device) - drawn
        parts.append(functional.softplus(-logits if label else logits).mean())
    loss = float(sum(parts)) / len(parts)
    return loss if math.isfinite(loss) else math.inf


@torch.inference_mode()
def _logits(classifier: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """Logits (N,), float32, on the CPU, of uint8 images; the classifier goes on training."""
    classifier.eval()
    parts = [classifier(to_float(part.to(device))).squeeze(1) for part in images.split(SCORED_AT_ONCE)]
    classifier.train()
    return torch.cat(parts).float().cpu()
