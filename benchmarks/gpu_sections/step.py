"""The training step: the naive one against the project's, and what each change of precision or layout would give."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from gpu_sections.clock import convolutions, timed
from gpu_sections.kernels import profile_update
from gpu_sections.networks import FastTraining, NaiveTraining, measure_step, relative_difference
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.device import deterministic_algorithms
from mammogan.features.densenet import FrozenDenseNet, random_frozen
from mammogan.models.folded import ActivationPattern, FoldedDenseNet


def measure(setting: Setting, record: Record) -> None:
    """Record steps at the batch and at multiples of it, the most valuable first."""
    batch = setting.batch
    with record.case("torch's defaults"):
        _compare(setting, record, batch, "torch's defaults")
    with record.case("without TF32"), convolutions(tf32=False):
        _compare(setting, record, batch, "without TF32")
    ours = functools.partial(measure_step, record, repeats=setting.repeats)
    with record.case("h and G channels_first"):
        ours(f"batch {batch}, ours, h and G channels_first", FastTraining(setting, batch, channels_last=False))
    with record.case("deterministic algorithms"), deterministic_algorithms(True):
        ours(f"batch {batch}, ours, deterministic algorithms", FastTraining(setting, batch))
    with convolutions(autotuned=True), record.case("autotuned"):
        ours(f"batch {batch}, naive, autotuned", NaiveTraining(setting, batch))
        ours(f"batch {batch}, ours, autotuned", FastTraining(setting, batch))
    if setting.cuda:
        with record.case("CUDA graph"):
            _measure_graph(setting, record)
    with record.case("profile"):
        profile_update(setting, record)
    with convolutions():
        for dtype in (torch.float16, torch.bfloat16):
            with record.case(f"frozen branch in {dtype}"):
                _measure_lowered(setting, record, dtype)
    with record.case("twice the batch"):
        _compare(setting, record, 2 * batch, "torch's defaults")
    with record.case("three times the batch"):
        ours(f"batch {3 * batch}, ours: as three stacked trials would be", FastTraining(setting, 3 * batch))
    with record.case("projected"):
        ours(f"batch {batch}, ours, readout projected", FastTraining(setting, batch, readout="projected"))


def _compare(setting: Setting, record: Record, batch: int, how: str) -> None:
    """Both ways, and how many times as fast ours is."""
    naive_ms = measure_step(record, f"batch {batch}, naive, {how}", NaiveTraining(setting, batch), setting.repeats)
    ours_ms = measure_step(record, f"batch {batch}, ours, {how}", FastTraining(setting, batch), setting.repeats)
    record.add(f"batch {batch}, speed-up over naive, {how}", times=naive_ms / ours_ms)


def _measure_graph(setting: Setting, record: Record) -> None:
    """A critic update with Adam's move as one CUDA graph, and its gradient against that of the same kernels issued."""
    training = FastTraining(setting, setting.batch, capturable=True)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            training.critic_update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        training.critic_update()
    duration = timed(graph.replay, training.device, setting.repeats)
    before = [weight.detach().clone() for weight in training.weights]
    graph.replay()
    replayed = torch.cat([weight.grad.flatten() for weight in training.weights]).clone()
    for weight, value in zip(training.weights, before, strict=True):
        weight.data.copy_(value)
    training.critic_update()
    issued = torch.cat([weight.grad.flatten() for weight in training.weights])
    record.add(
        f"batch {setting.batch}, ours, critic update as a CUDA graph",
        critic_ms=1e3 * duration.device_s,
        critic_host_ms=1e3 * duration.host_s,
        gradient_difference=relative_difference(replayed, issued),
    )


class LoweredDenseNet(FoldedDenseNet):
    """The frozen branch with 16-bit maps inside and float32 outside.

    J and J^T are linear, so what goes through them is scaled by a power of two that keeps it in range, which is exact.
    """

    def __init__(self, source: FrozenDenseNet, dtype: torch.dtype) -> None:
        super().__init__(source)
        self.to(dtype)

    def _evaluate(self, x: Tensor, path: ActivationPattern | None) -> tuple[Tensor, Tensor]:
        shallow, deep = super()._evaluate(x.to(self.stem.dtype), path)
        return shallow.float(), deep.float()

    def jvp(self, tangent: Tensor, path: ActivationPattern) -> tuple[Tensor, Tensor]:
        """As its parent's, in 16 bits."""
        scale = _power_of_two([tangent])
        shallow, deep = super().jvp((tangent * scale).to(self.stem.dtype), path)
        return shallow.float() / scale, deep.float() / scale

    def vjp(self, gradients: Sequence[Tensor | None], path: ActivationPattern) -> Tensor:
        """As its parent's, in 16 bits."""
        scale = _power_of_two([gradient for gradient in gradients if gradient is not None])
        lowered = [None if gradient is None else (gradient * scale).to(self.stem.dtype) for gradient in gradients]
        return super().vjp(lowered, path).float() / scale


def _power_of_two(tensors: Sequence[Tensor]) -> Tensor:
    """Scalar that brings the largest absolute value into [1, 2)."""
    largest = torch.stack([tensor.abs().amax() for tensor in tensors]).amax()
    return torch.exp2(-largest.clamp_min(1e-30).log2().floor())


def _measure_lowered(setting: Setting, record: Record, dtype: torch.dtype) -> None:
    """A step with the frozen branch in 16 bits, and by how much that moves the critic's gradient."""
    batch, name = setting.batch, str(dtype).removeprefix("torch.")
    exact = FastTraining(setting, batch).gradient()
    frozen = LoweredDenseNet(random_frozen(), dtype)
    training = FastTraining(setting, batch, frozen=frozen)
    difference = relative_difference(training.gradient(), exact)
    record.add(f"frozen branch in {name} against torch's defaults", gradient_difference=difference)
    label = f"batch {batch}, ours, frozen branch in {name}"
    measure_step(record, label, training, setting.repeats)
    if dtype == torch.bfloat16:
        with torch.autocast(setting.device, torch.bfloat16):
            measure_step(record, f"{label}, h and G under autocast", training, setting.repeats)
