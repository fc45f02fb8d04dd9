"""Memory and time of a long training, first tenth of its epochs against the last: what grows shows here.

    python benchmarks/endurance.py [--epochs 500] [--images 8] [--out docs/benchmarks/endurance.md]

Real epochs of ``train_trial`` at 56 px on the CPU, with their reports, history, snapshots and checkpoints; few images
and small networks, so that five hundred of them take minutes. Time is what the process computes from one report to the
next, and the wall's. A machine shared with others changes its own pace by more than is looked for, so after each epoch
a yardstick, one fixed pass through the frozen branch, is timed too: an epoch's processor time in yardsticks decides.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from mammogan.config import PRESETS, Trial, override
from mammogan.device import device_name
from mammogan.features.densenet import random_frozen
from mammogan.models.folded import FoldedDenseNet
from mammogan.results import TrialStatus
from mammogan.training.trial import train_trial

MOST_GROWTH = 0.05
SETTINGS = {
    "data.size": 56,
    "model.latent_dim": 16,
    "model.generator_channels": 32,
    "model.critic_channels": 4,
    "train.batch_size": 4,
    "train.n_critic": 1,
    "train.snapshot_every": 25,
    "train.checkpoint_every": 5,
    "train.device": "cpu",
}
VALIDATION = 2
"""Images that watch overfitting."""


class Yardstick:
    """The same work again and again: the frozen branch on one batch."""

    def __init__(self) -> None:
        self.network = FoldedDenseNet(random_frozen())
        self.images = torch.rand(4, 1, 56, 56, generator=torch.Generator().manual_seed(0)) * 2 - 1

    @torch.no_grad()
    def measure(self) -> float:
        """Processor seconds of a pass."""
        started = time.process_time()
        self.network(self.images)
        return time.process_time() - started


class Diary:
    """What each epoch took, the yardstick after it, and the memory that it reported."""

    def __init__(self) -> None:
        self.yardstick = Yardstick()
        self.wall_s: list[float] = []
        self.processor_s: list[float] = []
        self.yardstick_s: list[float] = []
        self.memory_mb: list[float] = []
        self.since = (time.perf_counter(), time.process_time())

    def __call__(self, _epoch: int, metrics: Mapping[str, float]) -> None:
        """Note one epoch."""
        self.wall_s.append(time.perf_counter() - self.since[0])
        self.processor_s.append(time.process_time() - self.since[1])
        self.memory_mb.append(metrics["system/device_memory_mb"])
        self.yardstick_s.append(self.yardstick.measure())
        self.since = (time.perf_counter(), time.process_time())

    @property
    def in_yardsticks(self) -> list[float]:
        """Processor time of each epoch as a multiple of the yardstick's around it (median of 11)."""
        around = [statistics.median(self.yardstick_s[max(0, i - 5) : i + 6]) for i in range(len(self.yardstick_s))]
        return [spent / unit for spent, unit in zip(self.processor_s, around, strict=True)]


def train(epochs: int, images: int) -> Diary:
    """Train the trial in a folder that goes again."""
    config = override(PRESETS["demo"], SETTINGS | {"train.epochs": epochs})
    pixels = torch.randint(0, 256, (images, 1, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    diary = Diary()
    with tempfile.TemporaryDirectory() as folder:
        result = train_trial(
            pixels[VALIDATION:], config, Trial(3.0, 0), data_digest="noise", store=f"{folder}/store",
            out=Path(folder, "out"), report=diary, report_grid=lambda _epoch, _path: None,
            validation=pixels[:VALIDATION],
        )  # fmt: skip
    assert result.status is TrialStatus.FINISHED, result.reason
    return diary


def row(name: str, values: Sequence[float], digits: int) -> tuple[str, bool]:
    """Table line of the medians of the first and last tenth, and whether the growth is within the bound."""
    tenth = len(values) // 10
    first, last = statistics.median(values[:tenth]), statistics.median(values[-tenth:])
    growth = last / first - 1
    return f"| {name} | {first:.{digits}f} | {last:.{digits}f} | {100 * growth:+.1f} % |", abs(growth) <= MOST_GROWTH


def main() -> None:
    """Print the table and write it where asked; exit status 1 where memory or time grew by more than 5 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    diary = train(arguments.epochs, arguments.images)
    wall_row, _ = row("an epoch, wall, s", diary.wall_s, 4)
    processor_row, _ = row("an epoch, processor, s", diary.processor_s, 4)
    yardstick_row, _ = row("the yardstick, processor, s", diary.yardstick_s, 4)
    time_row, time_ok = row("**an epoch, in yardsticks**", diary.in_yardsticks, 2)
    memory_row, memory_ok = row("**resident memory, MB**", diary.memory_mb, 1)
    text = "\n".join([
        "# A long training: does anything grow?", "",
        f"{arguments.epochs} epochs at 56 px, {arguments.images} images, {device_name(torch.device('cpu'))} "
        f"({platform.machine()}), torch {torch.__version__}, a checkpoint every 5 epochs, a snapshot every 25, "
        f"{sum(diary.wall_s):.0f} s in all. Medians of the first and last tenth; what is in bold may change by at most "
        f"{100 * MOST_GROWTH:.0f} %. The yardstick is one fixed pass through the frozen branch after each "
        f"epoch: how fast the machine was then. `python benchmarks/endurance.py --images {arguments.images}` prints "
        "this and the table.", "",
        "| | first tenth | last tenth | change |", "|---|---|---|---|",
        wall_row, processor_row, yardstick_row, time_row, memory_row, "",
    ])  # fmt: skip
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    if not (time_ok and memory_ok):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
