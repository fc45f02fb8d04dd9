"""Random numbers as a function of (seed, purpose, counter), so that a resumed run has no generator state to restore."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def rng_for(seed: int, purpose: str, counter: int, device: torch.device) -> torch.Generator:
    """Generator on ``device`` that depends on nothing but its arguments."""
    words = hashlib.sha256(f"{seed}/{purpose}/{counter}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(words[:8], "little") >> 1)


def weights_seed(seed: int) -> int:
    """Seed for the initial weights of a trial with this training seed."""
    return rng_for(seed, "weights", 0, torch.device("cpu")).initial_seed()


class BatchOrder:
    """Which images are in batch b: permutations of the data set, one per pass, cut into full batches.

    The last images of a permutation that fill no batch are left out of that pass; fewer images than one
    batch make one smaller batch.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self.batch_size = min(batch_size, count)
        self.per_pass = count // self.batch_size
        self._pass, self._order = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, index: int) -> Tensor:
        """Image indices (batch_size,), int64, on the CPU, of batch ``index`` = 0, 1, 2, ..."""
        number, position = divmod(index, self.per_pass)
        if number != self._pass:
            rng = rng_for(self.seed, "order", number, torch.device("cpu"))
            self._pass, self._order = number, torch.randperm(self.count, generator=rng)
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]
