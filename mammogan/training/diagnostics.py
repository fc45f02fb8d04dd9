"""What is measured at the end of an epoch beside the losses: the critic's overfitting, and memory.

Let T, V and G be the critic's mean scores of images it trains on, of as many held-out ones, and of generated ones.
T - V is near 0 while the critic judges what it has never seen like what it knows; r = (T - V) / (T - G) puts that on a
scale on which 1 is a critic that takes held-out images for fakes (Karras et al. 2020, "Training generative adversarial
networks with limited data", eq. 1).
"""

from __future__ import annotations

import os

import psutil
import torch
from torch import Tensor

from mammogan.device import float32_convolutions
from mammogan.models.critic import Critic
from mammogan.models.generator import Generator, sample, to_float

MOST_IMAGES = 64
BATCH = 16
SAMPLES_SEED = 0


class Overfitting:
    """Judge of a critic, from uint8 images (N, 1, H, W) that it trains on and that were held out, at most 64 each."""

    def __init__(self, known: Tensor, held_out: Tensor) -> None:
        count = min(MOST_IMAGES, len(known), len(held_out))
        # evenly taken, because neighbours in a data set tend to be one patient
        self.known, self.held_out = (
            images[torch.linspace(0, len(images) - 1, count).round().long()] for images in (known, held_out)
        )

    def measures(self, critic: Critic, generator: Generator) -> dict[str, float]:
        """``held_out_wasserstein``, V - G, and ``overfitting``, r; nothing where no images were held out."""
        if not len(self.held_out):
            return {}
        fakes = sample(generator, len(self.held_out), SAMPLES_SEED, BATCH)
        known, held_out, fake = (mean_score(critic, images) for images in (self.known, self.held_out, fakes))
        apart = known - fake
        return {
            "held_out_wasserstein": held_out - fake,
            "overfitting": (known - held_out) / apart if apart else 0.0,
        }


def mean_score(critic: Critic, images: Tensor) -> float:
    """Mean of D over uint8 images (N, 1, H, W), no augmentation."""
    return scores(critic, images).mean().item()


@torch.no_grad()
@float32_convolutions()
def scores(critic: Critic, images: Tensor) -> Tensor:
    """D of uint8 images (N, 1, H, W), no augmentation: (N,), float64, on the CPU."""
    device = next(critic.parameters()).device
    return torch.cat([critic(to_float(batch.to(device))).double().cpu() for batch in images.split(BATCH)])


def memory_mb(device: torch.device) -> float:
    """Memory that the training holds, in 10^6 bytes: torch's peak on a GPU so far, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return psutil.Process(os.getpid()).memory_info().rss / 1e6
