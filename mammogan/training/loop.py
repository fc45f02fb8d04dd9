"""Training of one branch, from images to the folder it hands on; run again, it continues or copies what is there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mammogan import console, storage
from mammogan.config import Branch, Config
from mammogan.models.densenet import load_frozen
from mammogan.models.generator import save_snapshot
from mammogan.training.branch_folder import HISTORY, BranchFolder, branch_key
from mammogan.training.checkpoint import Checkpoints
from mammogan.training.grid import save_grid
from mammogan.training.interruption import Interruption, deferred_signals
from mammogan.training.trainer import Trainer

Report = Callable[[int, Mapping[str, float]], None]
ReportGrid = Callable[[int, Path], None]
CHECKPOINTS = "checkpoints"


class DivergedError(Exception):
    """A loss or a weight is no longer finite."""


def train_branch(
    images: Tensor,
    config: Config,
    branch: Branch,
    *,
    data_digest: str,
    store: str,
    out: Path,
    report: Report,
    report_grid: ReportGrid,
) -> dict[str, Any]:
    """Train one (lambda, seed) on uint8 images (N, 1, size, size) and return the content of its ``branch.json``.

    Writes the branch folder of docs/architecture.md to ``out``, and the state to ``store/branches/<key>/``. A finished
    branch is copied out at once; an interrupted one continues, on the CPU to the bit as if it never stopped. In both
    cases the epochs and grids of the earlier run are reported again. SIGTERM and Ctrl-C save and leave, by SystemExit
    and KeyboardInterrupt. Divergence and any other exception end in the status, never in a raise.

    Raises ValueError for fewer than 2 images and for another shape or type.
    """
    _check_images(images, config)
    record = _new_record(config, branch, data_digest)
    out.mkdir(parents=True, exist_ok=True)
    try:
        frozen, record["frozen"] = load_frozen(config.model.frozen_weights, config.model.frozen_sha256)
        record["key"] = branch_key(config, branch, data_digest, record["frozen"]["sha256"])
        folder = BranchFolder(out, storage.join(store, "branches", record["key"]))
        folder.restore()
        if finished := folder.finished_record():
            console.say(f"{branch.name}: finished by an earlier run, copied from {folder.uri}")
            _report_again(folder, folder.read_history(), report, report_grid)
            return finished
        device = pick_device(config.train.device)
        record["device"] = device_name(device)
        trainer = Trainer(images, config, branch, frozen, device)
        with deferred_signals() as interruption:
            _Run(trainer, folder, record, interruption, report, report_grid).to_the_end()
        record["status"] = "finished"
        folder.write_record(record)
        Checkpoints(storage.join(folder.uri, CHECKPOINTS)).clear()
        return record
    except DivergedError as error:
        record |= {"status": "diverged", "reason": str(error)}
    except Exception as error:
        record |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    console.say(f"{branch.name}: {record['status']}: {record['reason']}")
    BranchFolder(out, "").write_record(record)
    return record


class _Run:
    """The epochs of a branch."""

    def __init__(
        self,
        trainer: Trainer,
        folder: BranchFolder,
        record: dict[str, Any],
        interruption: Interruption,
        report: Report,
        report_grid: ReportGrid,
    ) -> None:
        self.trainer, self.folder, self.record, self.interruption = trainer, folder, record, interruption
        self.report, self.report_grid = report, report_grid
        self.checkpoints = Checkpoints(storage.join(folder.uri, CHECKPOINTS))
        self.history: list[dict[str, Any]] = []
        self.epoch_s = 0.0
        self.means: dict[str, float] = {}

    def to_the_end(self) -> None:
        """Train every epoch that is left; the first divergence goes back to the last checkpoint, once."""
        state = self.checkpoints.latest()
        if state is not None:
            self._restore(state)
            _report_again(self.folder, self.history, self.report, self.report_grid)
        try:
            self._train()
        except DivergedError as error:
            state = self.checkpoints.latest()
            if state is None or self.trainer.attempt:
                raise
            console.say(f"{self.record['branch']}: {error}; going back to the last checkpoint, once")
            self._restore(state)
            self.trainer.attempt = 1
            self._train()

    def _train(self) -> None:
        trainer = self.trainer
        with console.progress(self.record["branch"], trainer.total_steps, trainer.step) as advance:
            for epoch in range(self.record["epochs_done"] + 1, trainer.config.epochs + 1):
                self._train_epoch(epoch, advance)
                self._finish_epoch(epoch)

    def _restore(self, state: dict[str, Any]) -> None:
        self.trainer.load_state(state["trainer"])
        self.history, self.epoch_s = state["history"], state["epoch_s"]
        self.record |= state["counts"]
        console.say(f"{self.record['branch']}: continues after step {self.trainer.step} of {self.trainer.total_steps}")

    def _train_epoch(self, epoch: int, advance: console.Advance) -> None:
        trainer = self.trainer
        started = time.perf_counter() - self.epoch_s
        note = f"epoch {epoch}" + (
            f", W {self.history[-1]['metrics']['train/wasserstein']:.3g}" if self.history else ""
        )
        while trainer.step < epoch * trainer.steps_per_epoch:
            trainer.advance()
            advance(note=note)
            if self.interruption.signal is not None:
                self.epoch_s = time.perf_counter() - started
                self._save()
                console.say(f"{self.record['branch']}: stopped after step {trainer.step}; run again to continue")
                self.interruption.leave()
        self.means = trainer.take_means()
        self.epoch_s = time.perf_counter() - started

    def _finish_epoch(self, epoch: int) -> None:
        trainer, config = self.trainer, self.trainer.config
        metrics = {f"train/{name}": value for name, value in self.means.items()}
        metrics["train/learning_rate"] = trainer.learning_rate_of(trainer.step - 1)
        images = trainer.images_per_step * trainer.steps_per_epoch
        metrics["train/images_per_s"] = images / self.epoch_s
        self._check_finite(epoch, metrics)
        self.history.append({"epoch": epoch, "metrics": metrics})
        self.record["epochs_done"] = epoch
        self.record["train_s"] += self.epoch_s
        self.record["images_seen"] += images
        self.epoch_s = 0.0
        self.folder.write_history(self.history)
        self.report(epoch, metrics)
        last = epoch == config.epochs
        if last or epoch == 1 or epoch % config.snapshot_every == 0:
            self._snapshot(epoch)
        if last or epoch % config.checkpoint_every == 0:
            self._save()

    def _check_finite(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise DivergedError(f"epoch {epoch}: {name} is {value}")
        for name, weight in self.trainer.snapshot_generator().state_dict().items():
            if not torch.isfinite(weight).all():
                raise DivergedError(f"epoch {epoch}: the generator's {name} holds values that are not finite")

    def _snapshot(self, epoch: int) -> None:
        generator = self.trainer.snapshot_generator()
        snapshot, grid = f"snapshots/epoch_{epoch:04d}.pt", f"grids/epoch_{epoch:04d}.png"
        save_snapshot(generator, epoch, self.folder.out / snapshot)
        save_grid(generator, self.folder.out / grid)
        self.folder.publish(snapshot)
        self.report_grid(epoch, self.folder.publish(grid))

    def _save(self) -> None:
        self.folder.write_history(self.history)
        self.folder.publish(HISTORY)
        state = {
            "trainer": self.trainer.state(),
            "history": self.history,
            "epoch_s": self.epoch_s,
            "counts": {key: self.record[key] for key in ("epochs_done", "train_s", "images_seen")},
        }
        self.checkpoints.save(self.trainer.step, state)


def _new_record(config: Config, branch: Branch, data_digest: str) -> dict[str, Any]:
    return {
        "branch": branch.name,
        "gp_lambda": branch.gp_lambda,
        "seed": branch.seed,
        "key": "",
        "data_digest": data_digest,
        "status": "",
        "reason": "",
        "epochs_done": 0,
        "epochs": config.train.epochs,
        "frozen": {"name": "", "sha256": ""},
        "device": "",
        "train_s": 0.0,
        "images_seen": 0,
    }


def _check_images(images: Tensor, config: Config) -> None:
    side = config.data.size
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or shape[1:] != (1, side, side):
        raise ValueError(f"images={images.dtype} {shape}: give uint8 (N, 1, {side}, {side}), as data.size={side} says")
    if len(images) < 2:
        raise ValueError(f"images={shape}: give at least 2 images of the class to synthesise")


def _report_again(folder: BranchFolder, history: list[dict[str, Any]], report: Report, report_grid: ReportGrid) -> None:
    """Tell a new run's tracker what the earlier run has done."""
    for row in history:
        report(row["epoch"], row["metrics"])
    done = history[-1]["epoch"] if history else 0
    for epoch, path in folder.grids():
        if epoch <= done:
            report_grid(epoch, path)


def pick_device(name: str) -> torch.device:
    """Torch device of a name; ``auto`` takes a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What the device is called, such as ``NVIDIA H100`` or ``cpu, 2 threads``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
