"""The frozen branch's passes through ``torch.compile``, the rest as it is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from gpu_sections.clock import convolutions, synchronise
from gpu_sections.networks import FastTraining, measure_step, relative_difference
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.features.densenet import FrozenDenseNet, random_frozen
from mammogan.models.folded import ActivationPattern, FoldedDenseNet


def _evaluate(network: FoldedDenseNet, x: Tensor) -> tuple[Tensor, Tensor]:
    return FoldedDenseNet._evaluate(network, x, None)


def _linearise(network: FoldedDenseNet, x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, list[Tensor]]:
    path = ActivationPattern()
    maps = FoldedDenseNet._evaluate(network, x, path)
    return maps, path.pooled, path.winners, path.rectified


def _jvp(
    network: FoldedDenseNet, tangent: Tensor, pooled: Tensor, winners: Tensor, rectified: list[Tensor]
) -> tuple[Tensor, Tensor]:
    return FoldedDenseNet.jvp(network, tangent, ActivationPattern(pooled, winners, rectified))


def _vjp(
    network: FoldedDenseNet, gradients: list[Tensor | None], pooled: Tensor, winners: Tensor, rectified: list[Tensor]
) -> Tensor:
    return FoldedDenseNet.vjp(network, gradients, ActivationPattern(pooled, winners, rectified))


class CompiledDenseNet(FoldedDenseNet):
    """The folded branch, each of its passes one compiled graph."""

    def __init__(self, source: FrozenDenseNet, backend: str) -> None:
        super().__init__(source)
        self._passes = [
            torch.compile(function, dynamic=False, fullgraph=True, backend=backend)
            for function in (_evaluate, _linearise, _jvp, _vjp)
        ]

    def _evaluate(self, x: Tensor, path: ActivationPattern | None) -> tuple[Tensor, Tensor]:
        evaluate, linearise, *_ = self._passes
        if path is None:
            return evaluate(self, x)
        maps, path.pooled, path.winners, path.rectified = linearise(self, x)
        return maps

    @torch.no_grad()
    def jvp(self, tangent: Tensor, path: ActivationPattern) -> tuple[Tensor, Tensor]:
        """As its parent's."""
        return self._passes[2](self, tangent, path.pooled, path.winners, path.rectified)

    @torch.no_grad()
    def vjp(self, gradients: Sequence[Tensor | None], path: ActivationPattern) -> Tensor:
        """As its parent's."""
        return self._passes[3](self, list(gradients), path.pooled, path.winners, path.rectified)


def measure(setting: Setting, record: Record) -> None:
    """Record a step with the compiled branch, and its gradient beside that of the branch as it is."""
    # on a CPU inductor would need a C++ compiler; this backend traces the same graphs and runs them as they are
    backend = "inductor" if setting.cuda else "aot_eager"
    with convolutions(autotuned=setting.cuda):
        plain = FastTraining(setting, setting.batch)
        expected = plain.gradient()
        record.add("as it is, against itself", gradient_difference=relative_difference(plain.gradient(), expected))
        del plain
        frozen = CompiledDenseNet(random_frozen(), backend)
        training = FastTraining(setting, setting.batch, frozen=frozen)
        began = time.perf_counter()
        ours = training.gradient()
        synchronise(training.device)
        record.add(
            f"compiled by {backend}",
            compile_s=time.perf_counter() - began,
            gradient_difference=relative_difference(ours, expected),
        )
        label = f"batch {setting.batch}, ours, autotuned, frozen branch compiled"
        measure_step(record, label, training, setting.repeats)
