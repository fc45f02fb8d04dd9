"""Presets against each other at equal CPU time, on real malignant crops at 56 px: KID and FID with intervals.

    python benchmarks/presets.py train FOLDER paper --work DIR
    python benchmarks/presets.py train FOLDER modern --work DIR
    python benchmarks/presets.py measure FOLDER --work DIR --alexnet LPIPS.pth --out presets.md --grid FILE.png

FOLDER holds grey images and manifest.csv with file, subset and pathology. The malignant ones of the Mass-Training
subset are trained on, those of Mass-Test are held out: the official split, in which no patient is on both sides. Only
the time that a process computes counts, on one thread, so that two may run at once and be slowed down by others. KID
and FID are taken on the five layers of the AlexNet in an LPIPS file (trained on ImageNet), each averaged over the
positions; without one on a random VGG, which sees little more than smooth grey structure. Stopped at any moment and run
again, a training continues after its last checkpoint, a measurement after its last snapshot.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from mammogan import codec, console, storage
from mammogan.config import PRESETS, Trial, override
from mammogan.features.densenet import load_frozen
from mammogan.features.extractor import Extractor, extract, random_vgg
from mammogan.features.weights import read_state
from mammogan.metrics.fid import frechet_distance, frechet_estimate
from mammogan.metrics.kid import kernel_distance, kernel_estimate
from mammogan.models.generator import load_generator, sample, save_snapshot
from mammogan.statistics import Floats
from mammogan.training.grid import save_grid, tile
from mammogan.training.interruption import deferred_signals
from mammogan.training.trainer import Trainer

logger = logging.getLogger("mammogan.benchmarks")

SIZE = 56
TRIALS = {"paper": Trial(gp_lambda=3.0, seed=0), "modern": Trial(gp_lambda=0.0, seed=0)}
COMMON: dict[str, Any] = {"data.size": SIZE, "model.frozen_weights": "random", "model.frozen_sha256": ""}
SCALED_DOWN: dict[str, dict[str, Any]] = {
    "paper": {},
    "modern": {
        "model.generator_channels": 128,
        "model.critic_channels": 16,
        "train.batch_size": 16,
        "train.n_critic": 1,
        "train.loss": "hinge",
        "train.learning_rate": 1e-3,
        "train.ema_decay": 0.99,
        "train.decay_from": 1,
    },
}
"""Beside ``COMMON``: what minutes of a CPU ask of ``modern``, many cheap steps and so a short average."""
FAKES = 500
BATCH_SIZE = 8
CONFIDENCE = 0.95
FEATURE_SIDE = 224
"""Side to which images are enlarged for AlexNet, that for which it was trained."""
COLUMNS = ("kid/train", "kid/test", "fid/train", "fid/test")
CHECKPOINT_S = 60.0


def read_crops(folder: Path) -> dict[str, Tensor]:
    """Malignant images, uint8 (N, 1, 56, 56), of the splits ``train`` and ``test``."""
    manifest = pd.read_csv(folder / "manifest.csv")
    malignant = manifest[manifest["pathology"] == "MALIGNANT"]
    subsets = {"train": "Mass-Training", "test": "Mass-Test"}
    return {split: _read(folder, malignant[malignant["subset"] == name]["file"]) for split, name in subsets.items()}


def _read(folder: Path, names: pd.Series) -> Tensor:
    pictures = [Image.open(storage.inside(folder, name)).convert("L") for name in sorted(names)]
    small = [np.array(picture.resize((SIZE, SIZE), Image.Resampling.BOX)) for picture in pictures]
    return torch.from_numpy(np.stack(small))[:, None]


@dataclass
class Run:
    """The training of one preset, and what it has cost."""

    trainer: Trainer
    folder: Path
    cpu_s: float = 0.0
    marks: int = 0

    @property
    def checkpoint(self) -> Path:
        """File of the last checkpoint."""
        return self.folder / "last.checkpoint"

    def resume(self) -> None:
        """Continue after the last checkpoint where there is one."""
        if self.checkpoint.is_file():
            done, _, state = self.checkpoint.read_bytes().partition(b"\n")
            self.trainer.load_state(state)
            self.cpu_s, self.marks = json.loads(done)

    def save(self) -> None:
        """Write a checkpoint, atomically."""
        done = json.dumps([self.cpu_s, self.marks]).encode()
        storage.write_bytes(str(self.checkpoint), done + b"\n" + self.trainer.state())

    def mark(self) -> None:
        """Keep the generator, a grid of its samples, and a line on what led to it."""
        self.marks += 1
        generator = self.trainer.snapshot_generator()
        save_snapshot(generator, self.marks, self.folder / f"snapshots/epoch_{self.marks:04d}.pt")
        save_grid(generator, self.folder / f"grids/epoch_{self.marks:04d}.png")
        row = {"mark": self.marks, "cpu_s": round(self.cpu_s, 1), "step": self.trainer.step}
        storage.write_bytes(str(self.folder / f"marks/{self.marks:04d}.json"), json.dumps(row).encode())

    def to_the_end(self, budget_s: float, mark_s: float) -> None:
        """Train for a budget of CPU time, with a snapshot at every multiple of ``mark_s``; a signal saves and stops."""
        started, saved_s = time.process_time() - self.cpu_s, self.cpu_s
        progress = console.progress(self.folder.name, int(budget_s), int(self.cpu_s))
        with deferred_signals() as interruption, progress as advance:
            while self.cpu_s < budget_s and interruption.signal is None:
                self.trainer.advance()
                before, self.cpu_s = self.cpu_s, time.process_time() - started
                advance(int(self.cpu_s) - int(before), note=f"step {self.trainer.step}")
                due = self.cpu_s >= (self.marks + 1) * mark_s
                if due:
                    self.mark()
                if due or self.cpu_s - saved_s >= CHECKPOINT_S:
                    self.save()
                    saved_s = self.cpu_s
            self.save()


def train(arguments: argparse.Namespace) -> None:
    """Train one preset, scaled down."""
    torch.set_num_threads(1)
    name = arguments.preset
    config = override(PRESETS[name], {**COMMON, **SCALED_DOWN[name]})
    frozen, _ = load_frozen("random")
    images = read_crops(arguments.folder)["train"]
    run = Run(Trainer(images, config, TRIALS[name], frozen, torch.device("cpu")), arguments.work / name)
    storage.write_bytes(str(run.folder / "config.json"), json.dumps(codec.encode(config), indent=1).encode())
    run.resume()
    run.to_the_end(60 * arguments.minutes, 60 * arguments.mark_minutes)


def alexnet(path: Path) -> Extractor:
    """Means over the positions of AlexNet's five rectified layers, 1,152 features, of images enlarged to 224 px."""
    from torchvision.models import alexnet as build

    state = read_state(path)
    network = build(weights=None).features.eval().requires_grad_(False)
    own = {key.split(".", 2)[2]: value for key, value in state.items() if key.startswith("net.slice")}
    network.load_state_dict(own)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate(images.float() / 255, size=(FEATURE_SIDE,) * 2, mode="bilinear")
        x, means = (x - mean) / std, []
        for layer in network:
            x = layer(x)
            if isinstance(layer, torch.nn.ReLU):
                means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)

    return Extractor("alexnet", storage.sha256_of(path), "AlexNet's features, trained on ImageNet", features)


def measured(folder: Path, snapshot: Path, reals: dict[str, Floats], extractor: Extractor) -> dict[str, Any]:
    """KID and FID of a snapshot against both splits, from the file beside it where they were measured before."""
    kept = folder / "measures" / f"{snapshot.stem}-{extractor.name}.json"
    if not kept.is_file():
        fakes = extract(extractor, sample(load_generator(snapshot), FAKES, seed=0), BATCH_SIZE)
        figures = {
            f"{metric}/{split}": estimate(real, fakes, CONFIDENCE)
            for metric, estimate in (("kid", kernel_estimate), ("fid", frechet_estimate))
            for split, real in reals.items()
        }
        storage.write_bytes(str(kept), json.dumps(figures).encode())
    mark = json.loads((folder / "marks" / f"{snapshot.stem.removeprefix('epoch_')}.json").read_text())
    return {**mark, **json.loads(kept.read_text())}


def measure(arguments: argparse.Namespace) -> None:
    """Measure every snapshot of both presets and write the table."""
    torch.set_num_threads(1)
    extractor = alexnet(arguments.alexnet) if arguments.alexnet else random_vgg(torch.device("cpu"))
    crops = read_crops(arguments.folder)
    reals = {split: extract(extractor, images, BATCH_SIZE) for split, images in crops.items()}
    rows: list[dict[str, Any]] = []
    for name in TRIALS:
        folder = arguments.work / name
        snapshots = sorted((folder / "snapshots").glob("epoch_*.pt"))
        with console.progress(f"measure {name}", len(snapshots)) as advance:
            for snapshot in snapshots:
                rows.append({"preset": name, **measured(folder, snapshot, reals, extractor)})
                advance()
    both = reals["train"], reals["test"]
    references = {"kid": kernel_distance(*both), "fid": frechet_distance(*both)}
    text = table(rows, references, {split: len(images) for split, images in crops.items()}, extractor.note)
    logger.info(text)
    if arguments.out:
        storage.write_bytes(str(arguments.out), text.encode())
    if arguments.grid:
        best = min(rows, key=lambda row: row["kid/train"][0])  # the rule, so that nobody chooses by eye
        logger.info(f"{arguments.grid}: {best['preset']} after {best['cpu_s'] / 60:.1f} CPU minutes")
        save_samples(arguments.work / best["preset"] / f"snapshots/epoch_{best['mark']:04d}.pt", arguments.grid)


def save_samples(snapshot: Path, path: Path) -> None:
    """PNG of 32 samples of a snapshot, not chosen, every pixel drawn as 2x2."""
    picture = Image.fromarray(tile(sample(load_generator(snapshot), 32, seed=0), 8).numpy())
    buffer = io.BytesIO()
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST).save(buffer, format="PNG")
    storage.write_bytes(str(path), buffer.getvalue())


def table(rows: list[dict[str, Any]], references: dict[str, float], counts: dict[str, int], features: str) -> str:
    """Markdown of all snapshots, the oldest first."""
    head = ["preset", "CPU min", "steps", *COLUMNS]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in sorted(rows, key=lambda row: (row["cpu_s"], row["preset"])):
        cells = [row["preset"], f"{row['cpu_s'] / 60:.1f}", str(row["step"]), *(_cell(row[key]) for key in COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        f"{counts['train']} training and {counts['test']} held-out crops of {SIZE} px, {FAKES} samples a snapshot; "
        f"{features} (no Inception weights were at hand); intervals of {CONFIDENCE:.0%}. Train against test: "
        f"KID {references['kid']:.4f}, FID {references['fid']:.2f}."
    )
    return "\n".join(["# Presets at equal CPU time", "", note, "", *_changes(), "", *lines]) + "\n"


def _changes() -> list[str]:
    """What was set beside the presets, a list of Markdown."""
    changes = [("both", COMMON), *SCALED_DOWN.items()]
    listed = {name: ", ".join(f"`{key}={value}`" for key, value in settings.items()) for name, settings in changes}
    trials = ", ".join(f"{name} {trial.gp_lambda:g}" for name, trial in TRIALS.items())
    return [f"Lambda: {trials}. Set beside the presets, for one core and minutes:", ""] + [
        f"- {name}: {settings or 'nothing'}" for name, settings in listed.items()
    ]


def _cell(estimate: list[float | None]) -> str:
    value, low, high = estimate
    return f"{value:.4g} ({low:.4g} to {high:.4g})" if low is not None and high is not None else f"{value:.4g}"


def main() -> None:
    """Train one preset, or measure what was trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("folder", type=Path)
    training.add_argument("preset", choices=sorted(TRIALS))
    training.add_argument("--work", type=Path, required=True)
    training.add_argument("--minutes", type=float, default=25.0, help="CPU time")
    training.add_argument("--mark-minutes", type=float, default=2.5, help="CPU time between snapshots")
    training.set_defaults(run=train)
    measuring = commands.add_parser("measure")
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--work", type=Path, required=True)
    measuring.add_argument("--alexnet", type=Path, help="LPIPS weights whose AlexNet gives the features")
    measuring.add_argument("--out", type=Path)
    measuring.add_argument("--grid", type=Path, help="PNG of samples of the snapshot with the lowest KID to write")
    measuring.set_defaults(run=measure)
    arguments = parser.parse_args()
    console.configure()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
