"""The step's gradients on this device against float64 on the CPU, as ``tests/training/test_gradients.py`` does.

Rounding flips rectifiers at their kink. So a gradient is also compared on its own linear piece, to which the
straightforward step in float64 is held, weight by weight.
"""

from __future__ import annotations

import copy
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from gpu_sections.clock import convolutions
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import gradients, reference

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "training"))
from gradient_errors import PENALISED, errors, in_one_pass, inputs, pair, relative_error, whole
from linear_piece import Recorded, Replayed

EXACT, ROUNDING = 1e-10, 1e-4
"""Relative errors above which float64 and float32, without TF32, are wrong: what the tests ask for on a CPU."""
SMALL_SIDE = 56
READINGS = (("flat", "linear"), ("projected", "sigmoid"))
LATENT_DIM, CHANNELS = 10, 16
"""Of the generator, which is small so that float64 on the CPU is quick."""


@dataclass(frozen=True)
class Case:
    """A critic in both forms, the batch for both, and the exact gradients at it."""

    label: str
    plain: Critic
    """Straightforward, float32, on the CPU."""
    fast: Critic
    """The same weights behind the folded branch."""
    exact: Critic
    """Straightforward, float64, with its gradients."""
    batch: tuple[Tensor, Tensor, Tensor]
    """Reals, fakes and alpha, float32, on the CPU."""
    device: torch.device
    record: Record

    @classmethod
    def draw(cls, size: int, readout: str, head: str, device: torch.device, record: Record) -> Case:
        """Random weights and images."""
        plain, fast = pair(size, head, torch.float32, readout)
        batch = inputs(size, torch.float32, augmented=False)
        exact = copy.deepcopy(plain).double()
        reference.critic_gradients(exact, *(tensor.double() for tensor in batch), PENALISED)
        return cls(f"{size} px, {readout}, {head}", plain, fast, exact, batch, device, record)

    @property
    def precisions(self) -> dict[str, bool]:
        """Whether TF32 is on, by what that is called."""
        return {"float32": False} | ({"TF32": True} if self.device.type == "cuda" else {})

    def measure(self) -> None:
        """Record all errors."""
        with self.record.case(f"{self.label}, float64"):
            self._measure_float64()
        for precision, tf32 in self.precisions.items():
            for way, module, critic in (("ours", gradients, self.fast), ("straightforward", reference, self.plain)):
                label = f"{self.label}, {way}, {precision}"
                with self.record.case(label):
                    self._measure_float32(label, module, critic, tf32)
            label = f"{self.label}, generator, {precision}"
            with self.record.case(label):
                self._measure_generator(label, tf32)

    def _measure_float64(self) -> None:
        """Ours in float64 on the device, where only a wrong kernel or layout can make a difference."""
        fast = copy.deepcopy(self.exact)
        fast.frozen = FoldedDenseNet(self.exact.frozen)
        fast.to(self.device)
        gradients.critic_gradients(fast, *(tensor.double().to(self.device) for tensor in self.batch), PENALISED)
        error = relative_error(whole(fast).cpu(), whole(self.exact))
        self.record.add(f"{self.label}, ours, float64 on the device", error=error)
        _require(error, EXACT)

    def _measure_float32(self, label: str, module: ModuleType, critic: Critic, tf32: bool) -> None:
        """One way, against the exact gradient and against float64 on the linear piece that it was on itself."""
        critic = copy.deepcopy(critic).to(self.device)
        with convolutions(tf32=tf32), Recorded() as recorded:
            module.critic_gradients(critic, *(tensor.to(self.device) for tensor in self.batch), PENALISED)
        critic.cpu()
        taken = [tensor.cpu() for tensor in recorded.taken]
        held = copy.deepcopy(self.plain).double()
        with Replayed(taken if module is reference else in_one_pass(taken)) as replayed:
            reference.critic_gradients(held, *(tensor.double() for tensor in self.batch), PENALISED)
        own = errors(critic, held)
        worst = max(own, key=own.__getitem__)
        self.record.add(
            label,
            f"worst is {worst}",
            error=relative_error(whole(critic).double(), whole(self.exact)),
            worst_error_on_its_piece=own[worst],
            median_error_on_its_piece=statistics.median(own.values()),
            rectifiers_flipped=len(replayed.moved),
            rectifiers=replayed.units,
            largest_move=max(replayed.moved, default=0.0),
        )
        if not tf32:
            _require(own[worst], ROUNDING)

    def _measure_generator(self, label: str, tf32: bool) -> None:
        generator, z = Generator(self.plain.size, LATENT_DIM, CHANNELS), torch.randn(len(self.batch[0]), LATENT_DIM)
        exact = copy.deepcopy(generator).double()
        reference.generator_gradients(exact, copy.deepcopy(self.plain).double(), z.double())
        generator.to(self.device)
        with convolutions(tf32=tf32):
            fake = generator(z.to(self.device))
            gradients.generator_gradients(generator, copy.deepcopy(self.fast).to(self.device), fake)
        self.record.add(label, error=relative_error(whole(generator).cpu().double(), whole(exact)))


def measure(setting: Setting, record: Record) -> None:
    """Record the errors at two sizes, with both readouts and both heads."""
    torch.manual_seed(0)
    device = setting.torch_device()
    for size in sorted({min(SMALL_SIDE, setting.size), setting.size}):
        for readout, head in READINGS:
            Case.draw(size, readout, head, device, record).measure()


def _require(error: float, most: float) -> None:
    if error > most:
        raise ArithmeticError(f"relative error {error:.2g}, above {most:g}: find the wrong kernel before anything else")
