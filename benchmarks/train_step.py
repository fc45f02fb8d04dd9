"""Time and memory of a critic update and a generator update: straightforward against fast, interleaved in one run.

    python benchmarks/train_step.py [--size 224] [--batches 8,16] [--rounds 3] [--kept FILE] [--out FILE]

The straightforward way is ``mammogan.training.reference``: the same mathematics by autograd's double backward, reals
and fakes in one pass, the frozen branch in channels_last, nothing wasted on purpose. Both ways hold the same weights
and see the same batches. Our update is charged a fifth of the reals' frozen maps, which five updates share.

Work and traffic are counted, not measured: the multiply-adds of all convolutions and matrix products, twice, as FLOPs,
and the bytes of all that any operation reads and writes, as if nothing stayed in a cache. The roof is what a product of
two large matrices reaches just then, the best of five.

With ``--kept``, measurements are added to that file and the table shows all it holds, so that sizes and batches can be
measured in several calls; ``--batches ""`` measures nothing and only shows it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from resident import peak_mib
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mammogan import storage
from mammogan.device import device_name, pick_device
from mammogan.features.densenet import random_frozen
from mammogan.models.critic import Critic
from mammogan.models.folded import FoldedDenseNet
from mammogan.models.generator import Generator
from mammogan.training import gradients, reference
from mammogan.training.losses import Objective

Result = TypeVar("Result")
Readout = Literal["flat", "projected"]
WAYS = ("straightforward", "fast")
N_CRITIC = 5
OBJECTIVE = Objective(gp_lambda=3.0)
LATENT_DIM = 100
GENERATOR_CHANNELS = 256
CRITIC_CHANNELS = 32
ROOF_SIDE = 2048
COLUMNS = (
    "size, px", "readout", "batch", "way", "critic update, s", "generator update, s", "step (5 + 1), s", "speed-up",
    "peak memory, GiB", "GFLOP a step", "GB moved a step", "share of the roof", "rounds",
)  # fmt: skip


class Bench:
    """Both networks of one way, and one batch."""

    def __init__(self, way: str, size: int, batch: int, readout: Readout, device: torch.device) -> None:
        torch.manual_seed(0)
        frozen = random_frozen().to(memory_format=torch.channels_last)
        self.fast = way == "fast"
        trial = FoldedDenseNet(frozen) if self.fast else frozen
        self.critic = Critic(size, CRITIC_CHANNELS, trial, readout=readout).to(device)
        self.generator = Generator(size, LATENT_DIM, GENERATOR_CHANNELS).to(device)
        self.real, self.fake = (torch.rand(2, batch, 1, size, size) * 2 - 1).to(device)
        self.alpha, self.z = torch.rand(batch, 1, 1, 1, device=device), torch.randn(batch, LATENT_DIM, device=device)

    def real_maps(self) -> tuple[Tensor, ...] | None:
        """The reals' frozen maps, which the fast way's updates of one batch share."""
        return self.critic.frozen_maps(self.real) if self.fast else None

    def critic_update(self, real_maps: tuple[Tensor, ...] | None) -> None:
        """Gradients of one critic update."""
        batch = (self.critic, self.real, self.fake, self.alpha, OBJECTIVE)
        if self.fast:
            gradients.critic_gradients(*batch, real_maps)
        else:
            reference.critic_gradients(*batch)

    def generator_update(self) -> None:
        """Gradients of one generator update."""
        if self.fast:
            gradients.generator_gradients(self.generator, self.critic, self.generator(self.z))
        else:
            reference.generator_gradients(self.generator, self.critic, self.z)

    def seconds(self) -> tuple[float, float]:
        """Time of a critic update, with its share of the shared maps, and of a generator update."""
        maps_s, maps = _timed(self.real_maps)
        critic_s, _ = _timed(lambda: self.critic_update(maps))
        generator_s, _ = _timed(self.generator_update)
        return critic_s + maps_s / N_CRITIC, generator_s


class Work(TorchDispatchMode):
    """Counts FLOPs, and the bytes of all tensors that operations read and write; views and allocations move none."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.moved = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if counter := flop_registry.get(func.overloadpacket):
            self.flops += counter(*args, **kwargs, out_val=result)
        if not func.is_view and "empty" not in func.__name__:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self.moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def counted(bench: Bench) -> tuple[float, float]:
    """FLOPs and bytes of a step, that is of five critic updates on one batch and a generator update."""
    maps = bench.real_maps()
    parts = ((1, bench.real_maps), (N_CRITIC, lambda: bench.critic_update(maps)), (1, bench.generator_update))
    flops = moved = 0.0
    for times, part in parts:
        with Work() as work:
            part()
        flops += times * work.flops
        moved += times * work.moved
    return flops, moved


def roof_flops(device: torch.device) -> float:
    """FLOPs per second of a product of two large float32 matrices, the best of five."""
    matrix = torch.rand(ROOF_SIDE, ROOF_SIDE, device=device)
    return 2 * ROOF_SIDE**3 / min(_timed(lambda: matrix @ matrix)[0] for _ in range(5))


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started, result


def peak_gib(bench: Bench) -> float:
    """Peak memory of one update of each network: the device's on a GPU, else this process's resident set."""
    bench.seconds()
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return peak_mib() / 1024


def peak_alone(way: str, size: int, batch: int, readout: Readout) -> float:
    """``peak_gib`` in a fresh process."""
    options = {"--size": size, "--batches": batch, "--readout": readout, "--peak-of": way}
    command = [sys.executable, __file__, *(str(part) for option in options.items() for part in option)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(size: int, batch: int, readout: Readout, rounds: int, device: torch.device) -> list[list[Any]]:
    """Rows of one batch size; the ways take turns in every round, after one round to warm up."""
    benches = {way: Bench(way, size, batch, readout, device) for way in WAYS}
    turns = [{way: bench.seconds() for way, bench in benches.items()} for _ in range(rounds + 1)][1:]
    roof, rows, step_s = roof_flops(device), [], {}
    for way, bench in benches.items():
        critic_s, generator_s = (min(values) for values in zip(*(turn[way] for turn in turns), strict=True))
        step_s[way] = N_CRITIC * critic_s + generator_s
        flops, moved = counted(bench)
        figures = (critic_s, generator_s, step_s[way], step_s[WAYS[0]] / step_s[way])
        peak = peak_alone(way, size, batch, readout)
        rows.append(
            [size, readout, batch, way, *figures, peak, flops / 1e9, moved / 1e9, flops / step_s[way] / roof, rounds]
        )
    return rows


FORMATS = ("d", "s", "d", "s", ".3f", ".3f", ".2f", ".2f", ".2f", ".0f", ".1f", ".0%", "d")


def table(rows: list[list[Any]]) -> str:
    """Markdown of all rows, in the order of size, readout and batch."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in sorted(rows, key=lambda row: (row[0], row[1], row[2], WAYS.index(row[3]))):
        lines.append(f"| {' | '.join(format(value, form) for value, form in zip(row, FORMATS, strict=True))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", default="8,16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--readout", choices=("flat", "projected"), default="flat")
    parser.add_argument("--kept", type=Path, help="JSON file of measurements to add to")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", choices=WAYS, help="print one way's peak memory and nothing else")
    arguments = parser.parse_args()
    device = pick_device()
    batches = [int(batch) for batch in arguments.batches.split(",") if batch]
    if arguments.peak_of:
        print(peak_gib(Bench(arguments.peak_of, arguments.size, batches[0], arguments.readout, device)))
        return
    rows = json.loads(arguments.kept.read_text()) if arguments.kept and arguments.kept.is_file() else []
    for batch in batches:
        rows += measured(arguments.size, batch, arguments.readout, arguments.rounds, device)
        if arguments.kept:
            storage.write_bytes(str(arguments.kept), json.dumps(rows).encode())
    note = (
        f"{device_name(device)} ({platform.machine()}), torch {torch.__version__}, float32. The ways take turns, and "
        "the best of the rounds counts, because others use such a machine too.\n\n"
    )
    text = f"# The training step, straightforward and fast\n\n{note}{table(rows)}"
    print(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())


if __name__ == "__main__":
    main()
