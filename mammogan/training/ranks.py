"""Several processes that train one trial together, as ``torchrun`` starts them: one batch, shared out by rows.

Let r be a process and R_r its rows of the batch of B. All that is drawn is a function of (seed, step), so every process
draws the whole batch and runs the generator on all of z: its BatchNorm sees the whole batch's statistics without a word
said. Only the critic, where the time goes, sees R_r alone. A loss is a mean over samples, L = sum_r |R_r|/B L_r, so the
sum over processes of |R_r|/B times the gradients of L_r is the gradient of one process that has the whole batch; the
generator's too, which is linear in that of its images.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as processes

from mammogan.device import select_local_gpu


@dataclass(frozen=True)
class Ranks:
    """One process among those that train the trial; by default the only one."""

    rank: int = 0
    """Number of this process, from 0."""
    world: int = 1
    """Number of processes."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Rows of a batch of ``count`` that are this process's; the shares differ by one row at most."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def combine(self, tensors: Sequence[Tensor], share: float) -> None:
        """Replace every tensor by the processes' sum of share times it; one exchange, no wait for the device."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors]).mul_(share)
        processes.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def all_reduce_max(self, number: int) -> int:
        """The highest of all processes' numbers; waits for the other processes but for no device."""
        if self.world == 1:
            return number
        tensor = torch.tensor(number)
        processes.all_reduce(tensor, processes.ReduceOp.MAX)
        return int(tensor)

    def broadcast(self, values: Mapping[str, float]) -> dict[str, float]:
        """The leader's values, under the same names in the same order everywhere."""
        if self.world == 1:
            return dict(values)
        tensor = torch.tensor(list(values.values()), dtype=torch.float64)
        processes.broadcast(tensor, src=0)
        return dict(zip(values, tensor.tolist(), strict=True))


@contextmanager
def init_distributed() -> Generator[Ranks]:
    """Join the processes that ``torchrun`` started; yields a process alone where it started none.

    Numbers on the host go through gloo, those on a GPU through NCCL. Each process takes the GPU of its local rank.
    Raises as ``select_local_gpu`` does.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    select_local_gpu()
    processes.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Ranks(processes.get_rank(), world)
    finally:
        processes.destroy_process_group()
