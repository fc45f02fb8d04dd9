"""The epochs of a trial: train, measure, write, and leave when asked to."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mammogan import console, storage
from mammogan.models.generator import save_snapshot
from mammogan.results import TrialFile, TrialResult
from mammogan.training.checkpoint import Checkpoint, Checkpoints, Progress
from mammogan.training.diagnostics import Overfitting, memory_mb
from mammogan.training.early_stop import HeldOutKid, best_epoch, snapshots_without_gain
from mammogan.training.grid import save_grid
from mammogan.training.interruption import Interruption
from mammogan.training.trainer import Trainer
from mammogan.training.trial_folder import (
    HISTORY,
    EpochMetrics,
    TrialFolder,
    grid_name,
    has_snapshot,
    parse_history,
    snapshot_name,
)

logger = logging.getLogger(__name__)

Report = Callable[[int, Mapping[str, float]], None]
ReportGrid = Callable[[int, Path], None]
ReportError = Callable[[BaseException], None]
CHECKPOINTS = "checkpoints"


class DivergedError(Exception):
    """A loss or a weight is no longer finite."""


class TrainingLoop:
    """The epochs of a trial, from its last checkpoint on.

    Of several processes that train together all compute, and only the leader writes and reports; what decides about
    the course, a divergence, a stop, a signal, they agree upon first.
    """

    def __init__(
        self,
        trainer: Trainer,
        overfitting: Overfitting,
        judge: HeldOutKid | None,
        folder: TrialFolder,
        result: TrialResult,
        interruption: Interruption,
        report: Report,
        report_grid: ReportGrid,
    ) -> None:
        self.trainer, self.overfitting, self.judge = trainer, overfitting, judge
        self.folder, self.result, self.interruption = folder, result, interruption
        self.report, self.report_grid = report, report_grid
        self.checkpoints = Checkpoints(storage.join(folder.uri, CHECKPOINTS))
        self.is_main = trainer.ranks.is_main
        self.history: list[EpochMetrics] = []
        self.epoch_s = 0.0

    def run(self) -> None:
        """Train every epoch that is left; the first divergence goes back to the last checkpoint, once."""
        checkpoint = self.checkpoints.latest()
        if checkpoint is not None:
            self._restore(checkpoint)
        elif self.is_main:
            self.folder.write_history("")
        if self.is_main:
            report_again(self.folder, self.result.files, self.history, self.report, self.report_grid)
        try:
            self._train()
        except DivergedError as error:
            checkpoint = self.checkpoints.latest()
            if checkpoint is None or self.trainer.attempt:
                raise
            self._log(f"{error}; going back to the last checkpoint, once")
            self._restore(checkpoint)
            self.trainer.attempt = 1
            self._train()
        self._update(reason=self._why_stopped_early())

    def _update(self, **changes: Any) -> None:  # noqa: ANN401  (fields of the result)
        self.result = dataclasses.replace(self.result, **changes)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.trainer.load_state(checkpoint.trainer)
        done = checkpoint.progress
        self.history, self.epoch_s = parse_history(done.history), done.epoch_s
        self._update(epochs_done=done.epochs_done, train_s=done.train_s, images_seen=done.images_seen, files=done.files)
        if self.is_main:
            self.folder.restore(done.files)
            self.folder.write_history(done.history)
        self._log(f"continues after step {self.trainer.step} of {self.trainer.total_steps}")

    def _train(self) -> None:
        trainer = self.trainer
        bar = console.progress if self.is_main else _no_progress
        with bar(f"train {self.result.trial.name}", trainer.total_steps, trainer.step, unit="steps") as advance:
            while not self._is_done():
                epoch = self.result.epochs_done + 1
                self._finish_epoch(epoch, self._train_epoch(epoch, advance))

    def _is_done(self) -> bool:
        return self.result.epochs_done >= self.trainer.config.epochs or bool(self._why_stopped_early())

    def _why_stopped_early(self) -> str:
        patience = self.trainer.config.patience
        if not patience or snapshots_without_gain(self.history) < patience:
            return ""
        return (
            f"stopped after epoch {self.history[-1].epoch}: KID against the validation images fell beyond its noise "
            f"last at epoch {best_epoch(self.history)}"
        )

    def _train_epoch(self, epoch: int, advance: console.Advance) -> dict[str, float]:
        """Train to the epoch's last step; the means of its quantities, and ``epoch_s``."""
        trainer = self.trainer
        started = time.perf_counter() - self.epoch_s
        note = f"epoch {epoch}" + (f", W {self.history[-1].metrics['train/wasserstein']:.3g}" if self.history else "")
        while trainer.step < epoch * trainer.steps_per_epoch:
            trainer.advance()
            advance(note=note)
            signal = trainer.ranks.all_reduce_max(self.interruption.signal or 0)
            if signal:
                self.epoch_s = time.perf_counter() - started
                self._save()
                self._log(f"stopped after step {trainer.step}; run again to continue")
                self.interruption.leave(signal)
        means = trainer.take_means()  # a GPU may be many steps behind what it was told, and this waits for it
        self.epoch_s = time.perf_counter() - started
        return means

    def _finish_epoch(self, epoch: int, means: dict[str, float]) -> None:
        trainer, config = self.trainer, self.trainer.config
        measures = means | self._measures()
        metrics = trainer.ranks.broadcast({f"train/{name}": value for name, value in measures.items()} | self._pace())
        self._check_finite(epoch, metrics)
        snapshots = has_snapshot(epoch, config)
        if snapshots and self.judge:
            metrics |= trainer.ranks.broadcast(self.judge.compute(trainer.snapshot_generator()))
        self.history.append(EpochMetrics(epoch, metrics))
        self._update(
            epochs_done=epoch,
            train_s=self.result.train_s + self.epoch_s,
            images_seen=self.result.images_seen + trainer.images_per_step * trainer.steps_per_epoch,
        )
        self.epoch_s = 0.0
        if self.is_main:
            self.folder.append_history(self.history[-1])
            self.report(epoch, metrics)
        if snapshots:
            self._snapshot(epoch)
        if epoch % config.checkpoint_every == 0 or self._is_done():
            self._save()

    def _measures(self) -> dict[str, float]:
        """What is watched beside the losses."""
        trainer = self.trainer
        return {
            "learning_rate": trainer.learning_rate_of(trainer.step - 1),
            **self.overfitting.measures(trainer.critic, trainer.generator),
        }

    def _pace(self) -> dict[str, float]:
        """How fast the epoch was, and the memory that it took: of the machine, not of the training."""
        trainer = self.trainer
        images_per_s = trainer.images_per_step * trainer.steps_per_epoch / self.epoch_s
        return {"system/images_per_s": images_per_s, "system/device_memory_mb": memory_mb(trainer.device)}

    def _check_finite(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise DivergedError(f"epoch {epoch}: {name} is {value}")
        wrong = _not_finite(self.trainer.snapshot_generator())
        if self.trainer.ranks.all_reduce_max(bool(wrong)):
            raise DivergedError(f"epoch {epoch}: the generator's {wrong} holds values that are not finite")

    def _snapshot(self, epoch: int) -> None:
        if not self.is_main:
            return
        generator = self.trainer.snapshot_generator()
        snapshot, grid = snapshot_name(epoch), grid_name(epoch)
        save_snapshot(generator, epoch, self.folder.out / snapshot)
        save_grid(generator, self.folder.out / grid)
        self._publish(snapshot)
        self.report_grid(epoch, self._publish(grid))

    def _publish(self, name: str) -> Path:
        published = self.folder.publish(name)
        others = (file for file in self.result.files if file.name != name)
        self._update(files=(*others, published.file))
        return published.path

    def _save(self) -> None:
        if not self.is_main:
            return
        self.folder.publish(HISTORY)
        progress = Progress(
            history=self.folder.history_lines(),
            epoch_s=self.epoch_s,
            epochs_done=self.result.epochs_done,
            train_s=self.result.train_s,
            images_seen=self.result.images_seen,
            files=self.result.files,
        )
        self.checkpoints.save(self.trainer.step, Checkpoint(progress, self.trainer.state()))

    def _log(self, message: str) -> None:
        if self.is_main:
            logger.info(f"{self.result.trial.name}: {message}")


def _not_finite(network: torch.nn.Module) -> str:
    """Name of the first tensor that holds NaN or infinity; empty where all are finite. Waits for the device once."""
    state = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    finite = torch.stack([value.isfinite().all() for value in state.values()]).tolist()
    return next((name for name, whole in zip(state, finite, strict=True) if not whole), "")


@contextlib.contextmanager
def _no_progress(*_: object, **_options: object) -> Generator[console.Advance]:
    def advance(steps: int = 1, note: str = "") -> None:
        """Show nothing: the leader's bar is enough."""

    yield advance


def report_again(
    folder: TrialFolder,
    files: Sequence[TrialFile],
    history: Sequence[EpochMetrics],
    report: Report,
    report_grid: ReportGrid,
) -> None:
    """Tell a new run's tracker what an earlier run has done."""
    for row in history:
        report(row.epoch, row.metrics)
    done = history[-1].epoch if history else 0
    for epoch, path in folder.grids(files):
        if epoch <= done:
            report_grid(epoch, path)
