"""What reporting to MLflow costs a training: the worst case, one training step an epoch and a report after each.

    python benchmarks/tracking.py [--epochs 6] [--sizes 56,224]

Counts the time that the training waits in ``log.metrics`` and ``log.grid``, and all processor time that the spool's
thread takes meanwhile, as a share of the time of the training step. MLflow's server is an SQLite file, so that the
server's own work is in this process too: with a server elsewhere the cost is lower.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from mammogan import config, tracking
from mammogan.graph import Step
from mammogan.tracking.spool import Spool


class Meter:
    """Seconds spent in the functions that it wraps."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds = 0.0
        self.calls = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Function that does the same and is counted."""

        def counted(*arguments: object) -> object:
            started = self._clock()
            try:
                return function(*arguments)
            finally:
                self.seconds += self._clock() - started
                self.calls += 1

        return counted


def measure(size: int, epochs: int, folder: Path) -> Mapping[str, float]:
    """Train with one batch an epoch at ``size`` px; seconds of the step, of waiting and of the sending thread."""
    import torch

    from mammogan.training.trial import train_trial

    base = "demo" if size <= 56 else "paper"
    settings = config.override(
        config.PRESETS[base],
        {
            "data.size": size, "train.epochs": epochs, "train.batch_size": 8, "train.snapshot_every": epochs,
            "train.checkpoint_every": epochs, "train.device": "cpu", "model.frozen_weights": "random",
            "model.frozen_sha256": "",
        },
    )  # fmt: skip
    trial = config.Trial(3.0, 0)
    images = torch.randint(0, 256, (8, 1, size, size), dtype=torch.uint8)
    parent = tracking.open_parent("benchmark", f"{size}", settings, {})
    waiting, sending = Meter(time.perf_counter), Meter(time.thread_time)
    started = time.perf_counter()
    with (
        mock.patch.object(Spool, "_send_next", sending.around(Spool._send_next)),
        tracking.trial_log(parent, trial, settings, step=Step.TRAIN) as log,
    ):
        report, grid = waiting.around(log.metrics), waiting.around(log.grid)
        train_trial(
            images, settings, trial, data_digest="x", store=str(folder / "store"), out=folder / "out",
            report=report, report_grid=grid,
        )  # fmt: skip
        train_s = time.perf_counter() - started
    step_s = (train_s - waiting.seconds) / epochs
    return {
        "size": size,
        "step_s": step_s,
        "waiting_ms": 1000 * waiting.seconds / epochs,
        "sending_ms": 1000 * sending.seconds / epochs,
        "waiting_percent": 100 * waiting.seconds / epochs / step_s,
        "all_percent": 100 * (waiting.seconds + sending.seconds) / epochs / step_s,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sizes", default="56,224")
    arguments = parser.parse_args()
    print("| px | training step, s | training waits, ms | thread's processor time, ms | waits, % | both, % |")
    print("|---|---|---|---|---|---|")
    for size in map(int, arguments.sizes.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
            os.environ["MAMMOGAN_SPOOL"] = str(folder / "spool")
            tracking.ensure_experiment("benchmark", str(folder / "artifacts"))
            row = measure(size, arguments.epochs, folder)
        print(
            f"| {row['size']:.0f} | {row['step_s']:.2f} | {row['waiting_ms']:.2f} | {row['sending_ms']:.0f} "
            f"| {row['waiting_percent']:.3f} | {row['all_percent']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
