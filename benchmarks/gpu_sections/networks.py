"""The networks of preset ``paper`` with their optimisers and one batch: the project's training step, and the naive one.

Adam's moves are part of an update here, and so is the generator's pass that makes the critic's fakes.
"""

from __future__ import annotations

from typing import Literal

import naive_wgan_gp as naive
import torch
from torch import Tensor, nn

from gpu_sections.clock import peak_gib, reset_peak, timed
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.config import PRESETS
from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import gradients
from mammogan.training.losses import Objective

MODEL, TRAIN = PRESETS["paper"].model, PRESETS["paper"].train
GP_LAMBDA = 3.0
OBJECTIVE = Objective(GP_LAMBDA)


class FastTraining:
    """The project's step; initial weights and images are a function of size and batch, whatever the other options.

    The layout on a GPU is the trainer's, unless ``channels_last`` is off.
    """

    def __init__(
        self,
        setting: Setting,
        batch: int,
        *,
        frozen: FoldedDenseNet | None = None,
        readout: Literal["flat", "projected"] = "flat",
        channels_last: bool = True,
        capturable: bool = False,
    ) -> None:
        self.device = setting.torch_device()
        torch.manual_seed(0)
        frozen = frozen or FoldedDenseNet(random_frozen())
        self.critic = Critic(setting.size, MODEL.critic_channels, frozen, readout=readout).to(self.device)
        self.generator = Generator(setting.size, MODEL.latent_dim, MODEL.generator_channels).to(self.device)
        self.real, self.fake = (torch.rand(2, batch, 1, setting.size, setting.size) * 2 - 1).to(self.device)
        self.alpha = torch.rand(batch, 1, 1, 1).to(self.device)
        self.z = torch.randn(batch, MODEL.latent_dim).to(self.device)
        if channels_last and setting.cuda:
            for network in (self.critic.trained, self.critic.readers, self.generator):
                network.to(memory_format=torch.channels_last)
        self.weights = [weight for weight in self.critic.parameters() if weight.requires_grad]
        self.optimisers = [_adam(weights, capturable) for weights in (self.weights, self.generator.parameters())]
        self.real_maps = self.critic.frozen_maps(self.real)

    def renew_maps(self) -> None:
        """Frozen maps of the reals, once a step."""
        self.real_maps = self.critic.frozen_maps(self.real)

    def set_gradients(self) -> None:
        """Gradients of a critic update."""
        gradients.critic_gradients(self.critic, self.real, self.fake, self.alpha, OBJECTIVE, self.real_maps)

    def critic_update(self) -> None:
        """One of the five of a step."""
        with torch.no_grad():
            self.generator(self.z)
        self.set_gradients()
        self.optimisers[0].step()

    def generator_update(self) -> None:
        """The one of a step."""
        gradients.generator_gradients(self.generator, self.critic, self.generator(self.z))
        self.optimisers[1].step()

    def gradient(self) -> Tensor:
        """Gradient of all the critic's weights as one vector; nothing moves."""
        self.renew_maps()
        self.set_gradients()
        return torch.cat([weight.grad.flatten() for weight in self.weights if weight.grad is not None])


class NaiveTraining:
    """``naive_wgan_gp`` with networks of the same size."""

    def __init__(self, setting: Setting, batch: int) -> None:
        self.device = setting.torch_device()
        torch.manual_seed(0)
        self.critic, self.generator = naive.Critic(setting.size), naive.Generator(setting.size)
        networks: tuple[nn.Module, ...] = (self.critic, self.generator)
        for network in networks:
            network.to(self.device)
        self.real = (torch.rand(batch, 1, setting.size, setting.size) * 2 - 1).to(self.device)
        betas = (TRAIN.beta1, TRAIN.beta2)
        trained = [weight for weight in self.critic.parameters() if weight.requires_grad]
        self.adam_critic = torch.optim.Adam(trained, TRAIN.learning_rate, betas)
        self.adam_generator = torch.optim.Adam(self.generator.parameters(), TRAIN.learning_rate, betas)

    def renew_maps(self) -> None:
        """Nothing is kept between updates."""

    def critic_update(self) -> None:
        """One of the five of a step."""
        naive.critic_step(self.generator, self.critic, self.adam_critic, self.real, GP_LAMBDA)

    def generator_update(self) -> None:
        """The one of a step."""
        naive.generator_step(self.generator, self.critic, self.adam_generator, len(self.real))


def _adam(weights: object, capturable: bool) -> torch.optim.Adam:
    """Adam as the project's trainer has it; a CUDA graph needs its learning rate in a tensor."""
    weights = list(weights)
    rate = torch.tensor(TRAIN.learning_rate, device=weights[0].device) if capturable else TRAIN.learning_rate
    return torch.optim.Adam(weights, rate, (TRAIN.beta1, TRAIN.beta2), fused=True, capturable=capturable)


def measure_step(record: Record, label: str, training: FastTraining | NaiveTraining, repeats: int) -> float:
    """Record the time of a step of five critic updates and one of the generator, and its parts; returns it, in ms."""
    reset_peak(training.device)
    critic = timed(training.critic_update, training.device, repeats)
    generator = timed(training.generator_update, training.device, repeats)
    maps = timed(training.renew_maps, training.device, repeats)
    step_ms = 1e3 * (TRAIN.n_critic * critic.device_s + generator.device_s + maps.device_s)
    record.add(
        label,
        step_ms=step_ms,
        critic_ms=1e3 * critic.device_s,
        critic_host_ms=1e3 * critic.host_s,
        generator_ms=1e3 * generator.device_s,
        maps_ms=1e3 * maps.device_s,
        peak_gib=peak_gib(training.device),
    )
    return step_ms


def relative_difference(ours: Tensor, reference: Tensor) -> float:
    """|ours - reference| / |reference|."""
    return ((ours - reference).norm() / reference.norm()).item()
