"""A small branch in a process of its own, to be killed: prints a line before every step."""

import json
import sys
from pathlib import Path

import torch

from mammogan.config import Branch, resolve
from mammogan.training.loop import train_branch
from mammogan.training.trainer import Trainer

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


def train(folder, gp_lambda=3.0, report=None, report_grid=None, images=None, **overrides):
    config = resolve("demo", json.dumps(OVERRIDES | overrides))
    return train_branch(
        blobs() if images is None else images,
        config,
        Branch(gp_lambda, 0),
        data_digest="blobs",
        store=str(folder / "store"),
        out=folder / "out",
        report=report or (lambda _epoch, _metrics: None),
        report_grid=report_grid or (lambda _epoch, _path: None),
    )


def announce_steps():
    advance = Trainer.advance

    def announced(self):
        print(f"step {self.step}", flush=True)
        advance(self)

    Trainer.advance = announced


if __name__ == "__main__":
    torch.set_num_threads(1)
    announce_steps()
    train(Path(sys.argv[1]))
