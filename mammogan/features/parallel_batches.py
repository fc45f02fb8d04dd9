"""Batches of images through a network, several at a time on a CPU.

Threads that share one small convolution wait for each other: on two cores a third of the time, and they burn it. Given
a batch each they need not meet. The number of images in memory stays that of one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from mammogan.allocator import give_back, share_one_arena

PARALLEL_BATCHES = 4
"""More would leave each with a batch too small to be efficient."""

T = TypeVar("T")


def map_batches(work: Callable[[Tensor], T], images: Tensor, batch_size: int, device: torch.device) -> Iterator[T]:
    """``work`` of every batch of ``images`` (N, ...), in order; on a CPU torch's threads are dealt among them."""
    threads = torch.get_num_threads()
    parallel = min(PARALLEL_BATCHES, threads) if device.type == "cpu" else 1
    batches = images.split(max(1, batch_size // parallel))
    if min(parallel, len(batches)) == 1:
        yield from map(work, batches)
        return
    share_one_arena()
    pool = ThreadPoolExecutor(parallel, initializer=torch.set_num_threads, initargs=(threads // parallel,))
    running: deque[Future[T]] = deque()
    try:
        for batch in batches:
            running.append(pool.submit(work, batch))
            if len(running) > parallel:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a new thread takes over the last number that any thread set
        give_back()
