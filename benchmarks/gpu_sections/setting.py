"""What every section is given: where the crops are, the device, and how much of everything."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch  # at run time the sections load it, and not the process that starts them


PRELOADED = ["torch", "torchvision.models", "pandas"]
PROFILE_FILE, TABLE_FILE = "profile.txt", "evaluate.md"
"""What sections themselves write to the folder of output."""


@dataclass(frozen=True)
class Setting:
    """Options of ``benchmarks/gpu.py``."""

    crops: Path
    """Folder of grey crops and their ``manifest.csv``."""
    out: Path
    """Folder of all output."""
    device: str
    """``cuda`` or ``cpu``."""
    size: int
    """Side of the images, px."""
    batch: int
    """Real images a critic update."""
    steps: int
    """Of a training that is saved and loaded halfway."""
    epochs: int
    """Epochs of a trial, at least 2: the first one warms up."""
    fakes: int
    """Generated images that are evaluated."""
    pairs: int
    """Pairs of images for MS-SSIM."""
    repeats: int
    """Timed repetitions, of which the median counts."""

    @property
    def cuda(self) -> bool:
        """Whether it is meant to run on a GPU."""
        return self.device != "cpu"

    def context(self) -> BaseContext:
        """How processes are started: afresh on a GPU, since none can be forked from one that has touched CUDA.

        On a CPU they are forked from one that has loaded torch, which saves seconds for each.
        """
        if self.cuda:
            return multiprocessing.get_context("spawn")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        return context

    def torch_device(self) -> torch.device:
        """Torch's device. Raises ValueError for a GPU where torch sees none."""
        from mammogan.device import pick_device

        return pick_device(self.device, "--device")
