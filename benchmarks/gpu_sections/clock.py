"""Time on a device that works asynchronously, and the precision and choice of its convolutions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

MOST_WARM_UPS = 3


@dataclass(frozen=True)
class Duration:
    """Medians of repeated work."""

    device_s: float
    """From its first kernel to its last."""
    host_s: float
    """That the host needs to issue it; on a CPU, which does both, the same."""


def synchronise(device: torch.device) -> None:
    """Wait for everything that was issued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, repeats: int) -> Duration:
    """Duration of ``work``, after up to three runs to warm up."""
    for _ in range(min(repeats, MOST_WARM_UPS)):
        work()
    synchronise(device)
    runs = [_once(work, device) for _ in range(repeats)]
    return Duration(*(statistics.median(seconds) for seconds in zip(*runs, strict=True)))


def _once(work: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds on the device and on the host."""
    if device.type != "cuda":
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return seconds, seconds
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    began = time.perf_counter()
    start.record()
    work()
    end.record()
    host_s = time.perf_counter() - began
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1e3, host_s


@contextmanager
def convolutions(*, tf32: bool = True, autotuned: bool = False) -> Generator[None]:
    """Convolutions of float32 in TF32 or not, and cuDNN's algorithm tried out or guessed; torch's defaults if bare."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32, cudnn.benchmark = tf32, autotuned
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark = before


def peak_gib(device: torch.device) -> float:
    """Peak of the GPU's memory since ``reset_peak``, in GiB; 0 on a CPU, where nobody counts it."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def reset_peak(device: torch.device) -> None:
    """Start counting the peak anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
