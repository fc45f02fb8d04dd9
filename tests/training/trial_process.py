"""A small trial in a process of its own, to be killed: prints a line before every step.

python trial_process.py FOLDER [STORE]
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from mammogan import console, results
from mammogan.config import Trial, overrides_text, resolve
from mammogan.results import TrialResult, TrialStatus
from mammogan.training.trainer import Trainer
from mammogan.training.trial import train_trial
from mammogan.training.trial_folder import HISTORY, EpochMetrics, parse_history

OVERRIDES = {
    "data.size": 28,
    "model.latent_dim": 8,
    "model.generator_channels": 8,
    "model.critic_channels": 4,
    "train.epochs": 4,
    "train.batch_size": 4,
    "train.n_critic": 2,
    "train.snapshot_every": 2,
    "train.checkpoint_every": 1,
    "train.ema_decay": 0.9,
    "train.device": "cpu",
}


def blobs(count=13, size=28):
    """Bright discs at random places, uint8 (count, 1, size, size)."""
    rng = torch.Generator().manual_seed(0)
    centre = torch.rand(count, 2, 1, 1, generator=rng) * size
    axis = torch.arange(size)
    distance = (axis.view(1, -1, 1) - centre[:, 0]) ** 2 + (axis.view(1, 1, -1) - centre[:, 1]) ** 2
    return (255 * torch.exp(-distance / 40)).to(torch.uint8).unsqueeze(1)


def train(folder, gp_lambda=3.0, images=None, seed=0, **changes):
    """Train the trial in ``folder``; changes with a dot in their name are settings, others go to ``train_trial``."""
    settings = {name: value for name, value in changes.items() if "." in name}
    arguments = {
        "data_digest": "blobs",
        "store": str(folder / "store"),
        "out": folder / "out",
        "report": lambda _epoch, _metrics: None,
        "report_grid": lambda _epoch, _path: None,
    }
    return train_trial(
        blobs() if images is None else images,
        resolve("demo", overrides_text(OVERRIDES | settings)),
        Trial(gp_lambda, seed),
        **arguments | {name: value for name, value in changes.items() if "." not in name},
    )


def result(folder):
    """All that must not depend on interruptions: snapshots, grids, history without its timing, counts."""
    out = folder / "out"
    history = [without_timing(row) for row in parse_history((out / "history.jsonl").read_text())]
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("epoch_*"))}
    return files, history, untimed(results.read(TrialResult, out / "trial.json"))


def untimed(trained):
    """A trial's record without the seconds that it took, which stand in its history too."""
    files = tuple(file for file in trained.files if file.name != HISTORY)
    return replace(trained, train_s=0.0, files=files)


def without_timing(row):
    """The epoch's metrics without those that depend on the machine, which must be there."""
    metrics = dict(row.metrics)
    assert min(metrics.pop(f"system/{name}") for name in ("images_per_s", "device_memory_mb")) > 0
    return EpochMetrics(row.epoch, metrics)


def announce_steps():
    advance = Trainer.advance

    def announced(self):
        print(f"step {self.step}", flush=True)
        advance(self)

    Trainer.advance = announced


def main(folder, *store):
    """Train the trial, and leave as the command line would."""
    torch.set_num_threads(1)
    console.configure()
    announce_steps()
    try:
        trained = train(Path(folder), **({"store": store[0]} if store else {}))
    except OSError as error:
        sys.exit(f"error: {error}")
    sys.exit(0 if trained.status is TrialStatus.FINISHED else f"error: {trained.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
