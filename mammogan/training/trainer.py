"""Everything that changes while a trial trains, and one step of that change."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mammogan.config import Config, TrainConfig, Trial
from mammogan.device import tf32_convolutions
from mammogan.features.densenet import FrozenDenseNet
from mammogan.features.saved import read_saved
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator, to_float
from mammogan.training.augment import augment
from mammogan.training.diffaugment import diff_augment
from mammogan.training.gradients import critic_gradients, generator_gradients
from mammogan.training.losses import Objective
from mammogan.training.randomness import BatchOrder, rng_for, weights_seed
from mammogan.training.ranks import Ranks

logger = logging.getLogger(__name__)

Gradients = TypeVar("Gradients")
OF_CRITIC = ("wasserstein", "penalty", "critic_loss", "gradient_norm", "critic_grad_norm")
OF_GENERATOR = ("generator_loss", "generator_grad_norm")
QUANTITIES = (*OF_CRITIC, *OF_GENERATOR)
SINGLE_PROCESS = Ranks()


class Trainer:
    """Networks, optimisers, step counter and the running epoch's sums of one trial.

    ``images`` (N, 1, size, size), uint8, stay on ``device`` as they are; float32 exists only for a batch at a time.
    A step is one generator update after ``n_critic`` critic updates. Its random numbers are a function of the
    seed, the step's number and the ``attempt``, so that ``state`` needs no generator state and no sampler position.
    Where the device's memory does not suffice, the critic sees a batch in more and more ``micro_batches``. Several
    processes that share the batch (``ranks``) hold the same state and need as many images a batch as they are.
    """

    def __init__(
        self,
        images: Tensor,
        config: Config,
        trial: Trial,
        frozen: FrozenDenseNet,
        device: torch.device,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.config, self.trial, self.device, self.ranks = config.train, trial, device, ranks
        self.images = images.to(device)
        self.objective = Objective(trial.gp_lambda, self.config.loss)
        self.order = BatchOrder(len(images), self.config.batch_size, trial.seed)
        self.rows = ranks.rows(self.order.batch_size)
        self.generator, self.critic = _networks(images.shape[-1], config, trial.seed, frozen, device)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False) if self.config.ema_decay else None
        self.optimisers = [_adam(network, self.config) for network in (self.generator, self.critic)]
        self.step = 0
        self.attempt = 0
        self.micro_batches = 1
        self.sums = torch.zeros(len(QUANTITIES), device=device)

    @property
    def batches_per_step(self) -> int:
        """Real batches that a step draws."""
        return self.config.n_critic if self.config.critic_batches == "fresh" else 1

    @property
    def steps_per_epoch(self) -> int:
        """Steps that pass once over the images, at least 1."""
        return max(1, self.order.per_pass // self.batches_per_step)

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def images_per_step(self) -> int:
        """Real images that the critic is shown in a step."""
        return self.order.batch_size * self.config.n_critic

    def learning_rate_of(self, step: int) -> float:
        """Adam's learning rate in a step: constant, then linear to 0."""
        decaying_steps = self.total_steps * (1 - self.config.decay_from)
        left = (self.total_steps - step) / decaying_steps if decaying_steps else 1.0
        return self.config.learning_rate * min(1.0, left)

    def advance(self) -> None:
        """Make one step."""
        rng = rng_for(self.trial.seed, f"step, attempt {self.attempt}", self.step, self.device)
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = self.learning_rate_of(self.step)
        with tf32_convolutions(self.config.precision == "tf32"):
            for update in range(self.config.n_critic):
                if update < self.batches_per_step:
                    real = self._real_batch(self.step * self.batches_per_step + update, rng)[self.rows]
                    real_maps = self._frozen_maps(real)
                self._update_critic(real, real_maps, rng)
            self._update_generator(rng)
        self._average()
        self.step += 1

    def _update_critic(self, real: Tensor, real_maps: tuple[Tensor, ...], rng: torch.Generator) -> None:
        with torch.no_grad():
            fake = self._fakes(rng)
        alpha = torch.rand(self.order.batch_size, 1, 1, 1, generator=rng, device=self.device)[self.rows]
        measures = self._retry_on_oom(
            lambda: critic_gradients(self.critic, real, fake, alpha, self.objective, real_maps, self.micro_batches)
        )
        self.sums[: len(OF_CRITIC)] += self._update(self.critic, self.optimisers[1], torch.stack(measures))

    def _update_generator(self, rng: torch.Generator) -> None:
        fake = self._fakes(rng)
        loss = self._retry_on_oom(lambda: generator_gradients(self.generator, self.critic, fake, self.micro_batches))
        self.sums[len(OF_CRITIC) :] += self._update(self.generator, self.optimisers[0], loss.view(1))

    def _update(self, network: nn.Module, optimiser: torch.optim.Optimizer, means: Tensor) -> Tensor:
        """Move a network by its gradients; ``means``, over this process's rows, comes back with their norm.

        Everything is made that of the whole batch first. No part of it waits for the device.
        """
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        rows = self.rows.stop - self.rows.start
        self.ranks.combine([means, *gradients], rows / self.order.batch_size)
        optimiser.step()
        return torch.cat((means, torch.nn.utils.get_total_norm(gradients).view(1)))

    def take_means(self) -> dict[str, float]:
        """Means of the quantities since the last call; waits for the device."""
        steps = (self.step - 1) % self.steps_per_epoch + 1
        counts = [steps * self.config.n_critic] * len(OF_CRITIC) + [steps] * len(OF_GENERATOR)
        means = {name: total / count for name, total, count in zip(QUANTITIES, self.sums.tolist(), counts, strict=True)}
        self.sums.zero_()
        return means

    def snapshot_generator(self) -> Generator:
        """The generator to keep: the averaged one where there is one."""
        return self.averaged or self.generator

    def state(self) -> bytes:
        """All that a new trainer needs to continue as this one would, by ``torch.save``."""
        state = {
            "step": self.step,
            "attempt": self.attempt,
            "sums": self.sums.cpu(),
            "generator": self.generator.state_dict(),
            "critic": self.critic.trained_state(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        content = io.BytesIO()
        torch.save(state, content)
        return content.getvalue()

    def load_state(self, content: bytes) -> None:
        """Continue where ``state`` gave the content. Raises ValueError where another trainer, or none, wrote it."""
        state = read_saved(io.BytesIO(content))
        try:
            self._load(state)
        except torch.OutOfMemoryError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"the checkpoint is none of this trainer ({type(error).__name__}: {reason})") from error

    def _load(self, state: Any) -> None:  # noqa: ANN401  (whatever was saved)
        for name in ("step", "attempt"):
            if not isinstance(state[name], int) or state[name] < 0:
                raise ValueError(f"{name}={state[name]!r}")
        if state["sums"].shape != self.sums.shape:
            raise ValueError(f"sums of shape {tuple(state['sums'].shape)}")
        self.step, self.attempt = state["step"], state["attempt"]
        self.sums = state["sums"].to(self.device)
        self.generator.load_state_dict(state["generator"])
        self.critic.load_trained_state(state["critic"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def _retry_on_oom(self, gradients: Callable[[], Gradients]) -> Gradients:
        """Result of ``gradients``, in twice as many micro-batches where memory runs out; nothing has changed then."""
        while True:
            try:
                return gradients()
            except torch.OutOfMemoryError:
                if self.micro_batches >= self.order.batch_size:
                    raise
                self.micro_batches *= 2
                parts = self.micro_batches
                logger.info(f"out of memory: the critic now sees a batch in {parts} parts, with the same result")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _real_batch(self, index: int, rng: torch.Generator) -> Tensor:
        chosen = self.images[self.order.batch(index).to(self.device)]
        return diff_augment(augment(to_float(chosen), self.config, rng), self.config, rng)

    @torch.no_grad()
    def _frozen_maps(self, real: Tensor) -> tuple[Tensor, ...]:
        def in_micro_batches() -> tuple[Tensor, ...]:
            maps = [self.critic.frozen_maps(micro_batch) for micro_batch in real.chunk(self.micro_batches)]
            return tuple(torch.cat(parts) for parts in zip(*maps, strict=True))

        return self._retry_on_oom(in_micro_batches)

    def _fakes(self, rng: torch.Generator) -> Tensor:
        """Fresh fakes as the critic sees them, of this process's rows of the batch."""
        fakes = self.generator(self._latents(rng))
        return diff_augment(fakes, self.config, rng)[self.rows]

    def _latents(self, rng: torch.Generator) -> Tensor:
        return torch.randn(self.order.batch_size, self.generator.latent_dim, generator=rng, device=self.device)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generator towards the current one, BatchNorm statistics included.

        The first steps count more, else the untrained weights would stay in the average for 1 / (1 - decay) steps.
        """
        if self.averaged is None:
            return
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        current = self.generator.state_dict()
        for key, value in self.averaged.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[key], 1 - decay)
            else:
                value.copy_(current[key])


def _networks(
    size: int, config: Config, seed: int, frozen: FrozenDenseNet, device: torch.device
) -> tuple[Generator, Critic]:
    """Both networks with initial weights from the trial's seed, on the device."""
    model = config.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights_seed(seed))
        generator = Generator(size, model.latent_dim, model.generator_channels, model.upsampling)
        critic = Critic(size, model.critic_channels, FoldedDenseNet(frozen), model.head, model.readout)
    # cuDNN's kernels for TF32 want the channels last, and would turn every map around and back
    layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
    return generator.to(device).to(memory_format=layout), critic.to(device).to(memory_format=layout)


def _adam(network: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    return torch.optim.Adam(weights, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)
