"""Time and memory of a critic update and a generator update: straightforward against fast, interleaved in one run.

    python benchmarks/train_step.py [--size 224] [--batches 8,16] [--rounds 3] [--out docs/benchmarks/train_step.md]

The straightforward way is ``mammogan.training.reference``: the same mathematics by autograd's double backward, reals
and fakes in one pass, the frozen branch in channels_last, nothing wasted on purpose. Both ways hold the same weights
and see the same batches. Our update is charged a fifth of the reals' frozen features, which five updates share.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from mammogan.models.critic import Critic
from mammogan.models.densenet import random_frozen
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import reference, step
from mammogan.training.loop import device_name, pick_device

Result = TypeVar("Result")
WAYS = ("straightforward", "fast")
N_CRITIC = 5
GP_LAMBDA = 3.0
LATENT_DIM = 100
GENERATOR_CHANNELS = 256
CRITIC_CHANNELS = 32
HEADER = "| batch | way | critic update, s | generator update, s | step (5 + 1), s | speed-up | peak memory, GiB |"


class Bench:
    """Both networks of one way, and one batch."""

    def __init__(self, way: str, size: int, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        frozen = random_frozen().to(memory_format=torch.channels_last)
        self.fast = way == "fast"
        branch = FoldedDenseNet(frozen) if self.fast else frozen
        self.critic = Critic(size, CRITIC_CHANNELS, branch).to(device)
        self.generator = Generator(size, LATENT_DIM, GENERATOR_CHANNELS).to(device)
        self.real, self.fake = (torch.rand(2, batch, 1, size, size) * 2 - 1).to(device)
        self.alpha, self.z = torch.rand(batch, 1, 1, 1, device=device), torch.randn(batch, LATENT_DIM, device=device)

    def real_features(self) -> Tensor:
        """The reals' frozen features, which the updates of one batch share."""
        return self.critic.frozen_features(self.real)

    def critic_update(self, features: Tensor | None) -> None:
        """Gradients of one critic update."""
        batch = (self.critic, self.real, self.fake, self.alpha, GP_LAMBDA)
        if self.fast:
            step.critic_gradients(*batch, features)
        else:
            reference.critic_gradients(*batch)

    def generator_update(self) -> None:
        """Gradients of one generator update."""
        if self.fast:
            step.generator_gradients(self.generator, self.critic, self.generator(self.z))
        else:
            reference.generator_gradients(self.generator, self.critic, self.z)

    def seconds(self) -> tuple[float, float]:
        """Time of a critic update, with its share of the shared features, and of a generator update."""
        features_s, features = _timed(self.real_features) if self.fast else (0.0, None)
        critic_s, _ = _timed(lambda: self.critic_update(features))
        generator_s, _ = _timed(self.generator_update)
        return critic_s + features_s / N_CRITIC, generator_s


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


def peak_gib(way: str, size: int, batch: int, device: torch.device) -> float:
    """Peak memory of one update of each network: the device's on a GPU, else a process's own."""
    bench = Bench(way, size, batch, device)
    bench.seconds()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def rows(size: int, batch: int, rounds: int, device: torch.device) -> list[str]:
    """Table lines of one batch size; the ways take turns in every round, after one round to warm up."""
    benches = {way: Bench(way, size, batch, device) for way in WAYS}
    measured = [{way: bench.seconds() for way, bench in benches.items()} for _ in range(rounds + 1)][1:]
    lines, step_s = [], {}
    for way in WAYS:
        critic_s, generator_s = (statistics.median(values) for values in zip(*(m[way] for m in measured), strict=True))
        step_s[way] = N_CRITIC * critic_s + generator_s
        speedup = step_s["straightforward"] / step_s[way]
        command = [sys.executable, __file__, "--size", str(size), "--batches", str(batch), "--peak-of", way]
        peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        lines.append(
            f"| {batch} | {way} | {critic_s:.3f} | {generator_s:.3f} | {step_s[way]:.2f} | {speedup:.2f} | {peak:.2f} |"
        )
    return lines


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", default="8,16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", choices=WAYS, help="print one way's peak memory and nothing else")
    arguments = parser.parse_args()
    device = pick_device("auto")
    batches = [int(batch) for batch in arguments.batches.split(",")]
    if arguments.peak_of:
        print(peak_gib(arguments.peak_of, arguments.size, batches[0], device))
        return
    table = [
        f"{arguments.size} px, {device_name(device)} ({platform.machine()}), torch {torch.__version__}, "
        f"float32, median of {arguments.rounds} interleaved rounds:",
        "",
        HEADER,
        "|---" * HEADER.count(" | ") + "|---|",
    ]
    for batch in batches:
        table += rows(arguments.size, batch, arguments.rounds, device)
    text = "\n".join(table) + "\n"
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text("# The training step, straightforward and fast\n\n" + text)


if __name__ == "__main__":
    main()
