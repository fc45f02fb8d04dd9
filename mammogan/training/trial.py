"""Training of one trial, from images to the folder it hands on; run again, it continues or copies what is there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mammogan import storage
from mammogan.config import Config, Trial
from mammogan.features.densenet import FrozenDenseNet, load_frozen
from mammogan.features.extractor import Extractor, load_extractor
from mammogan.models.critic import Critic
from mammogan.models.critic_file import save_critic
from mammogan.training.checkpoint import Checkpoints
from mammogan.training.diagnostics import Overfitting
from mammogan.training.early_stop import HeldOutKid
from mammogan.training.holdout_split import carve_out
from mammogan.training.interruption import Interruption, deferred_signals
from mammogan.training.loop import CHECKPOINTS, DivergedError, Epochs, Report, ReportError, ReportGrid, report_again
from mammogan.training.ranks import Ranks
from mammogan.training.trainer import ALONE, Trainer
from mammogan.training.trial_folder import CRITIC, TrialFolder, trial_key

logger = logging.getLogger(__name__)

RETRY_PAUSES_S = (1.0, 10.0)
"""Pauses before a trial that failed is continued in the same process."""


def train_trial(
    images: Tensor,
    config: Config,
    trial: Trial,
    *,
    data_digest: str,
    store: str,
    out: Path,
    report: Report,
    report_grid: ReportGrid,
    report_error: ReportError | None = None,
    patients: Sequence[str] | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train one (lambda, seed) on uint8 images (N, 1, size, size) and return the content of its ``trial.json``.

    Writes the trial folder of docs/architecture.md to ``out``, and the state to ``store/trials/<key>/``. A finished
    trial is copied out at once; an interrupted one continues, on the CPU to the bit as if it never stopped. In both
    cases the epochs and grids of the earlier run are reported again. SIGTERM and Ctrl-C save and leave, by SystemExit
    and KeyboardInterrupt. What may pass, such as memory that another process holds, is tried again from the last
    checkpoint, twice; then it, a store that was away for too long and divergence end in the status, never in a raise.
    ``report_error`` gets what ended it as failed.

    ``patients`` names that of each image, for ``train.validation_fraction``. Of several processes (``ranks``) the
    leader writes, and a fault raises, because only a new start of all of them can fix it.
    Raises ValueError for fewer than 2 images, for another shape or type and for a carve-out that leaves too few;
    OSError where not even ``trial.json`` can be written.
    """
    _check_images(images, config, ranks)
    kept, held_out = carve_out(len(images), config.train.validation_fraction, patients)
    record = _new_record(config, trial, data_digest)
    try:
        work = _Work(images[kept], images[held_out], config, trial, ranks, record, report, report_grid)
        return work.finished(store, out)
    except DivergedError as error:
        record |= {"status": "diverged", "reason": str(error)}
        if ranks.leads:
            logger.info(f"{trial.name}: diverged: {error}")
    except Exception as error:
        if ranks.world > 1:
            raise
        record |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        logger.exception(f"{trial.name}: failed: {record['reason']}")
        if report_error:
            report_error(error)
    if ranks.leads:
        TrialFolder(out, "").write_record(record)
    return record


@dataclass(frozen=True)
class _Work:
    """A trial, its images (uint8, to train on and held out) and those whom it tells."""

    images: Tensor
    held_out: Tensor
    config: Config
    trial: Trial
    ranks: Ranks
    record: dict[str, Any]
    report: Report
    report_grid: ReportGrid

    def finished(self, store: str, out: Path) -> dict[str, Any]:
        """The record of the finished trial, copied or trained; raises what training raises."""
        config, record = self.config, self.record
        device = pick_device(config.train.device)
        frozen, record["frozen"] = load_frozen(config.model.frozen_weights, config.model.frozen_sha256)
        judge = load_extractor(config.evaluate, device) if config.train.patience else None
        judged_by = judge.sha256 if judge else ""
        record["key"] = trial_key(config, self.trial, record["data_digest"], record["frozen"]["sha256"], judged_by)
        folder = TrialFolder(out, storage.join(store, "trials", record["key"]))
        if self.ranks.leads:
            folder.restore()
        if earlier := folder.finished_record():
            if self.ranks.leads:
                logger.info(f"{self.trial.name}: finished by an earlier run, copied from {folder.uri}")
                report_again(folder, folder.read_history(), self.report, self.report_grid)
            return earlier
        record["device"] = device_name(device, self.ranks.world)
        with deferred_signals() as interruption:
            self._train(folder, frozen, device, judge, interruption)
        record["status"] = "finished"
        if self.ranks.leads:
            folder.write_record(record)
            Checkpoints(storage.join(folder.uri, CHECKPOINTS)).clear()
        return record

    def _train(
        self,
        folder: TrialFolder,
        frozen: FrozenDenseNet,
        device: torch.device,
        extractor: Extractor | None,
        interruption: Interruption,
    ) -> None:
        judge = HeldOutKid(self.held_out, extractor) if extractor else None
        overfitting = Overfitting(self.images, self.held_out)
        untrained = dict(self.record)

        def attempt() -> None:
            self.record.update(untrained)
            trainer = Trainer(self.images, self.config, self.trial, frozen, device, self.ranks)
            Epochs(
                trainer, overfitting, judge, folder, self.record, interruption, self.report, self.report_grid
            ).to_the_end()
            if self.ranks.leads:
                self._leave_critic(trainer.critic, folder)

        _persistently(attempt, self.trial.name, RETRY_PAUSES_S if self.ranks.world == 1 else ())

    def _leave_critic(self, critic: Critic, folder: TrialFolder) -> None:
        save_critic(
            critic,
            folder.out / CRITIC,
            frozen_sha256=self.record["frozen"]["sha256"],
            data_digest=self.record["data_digest"],
            validation_fraction=self.config.train.validation_fraction,
        )
        folder.publish(CRITIC)


def _persistently(attempt: Callable[[], None], name: str, pauses_s: Sequence[float]) -> None:
    """Make the attempt, and another one after each pause when the machine let it down; a store was waited for."""
    for pause_s in pauses_s:
        try:
            return attempt()
        except storage.AwayError:
            raise
        except (OSError, RuntimeError) as error:
            logger.warning(
                f"{name}: {type(error).__name__}: {error}; continuing from the last checkpoint in {pause_s} s",
                exc_info=error,
            )
            time.sleep(pause_s)
    return attempt()


def _new_record(config: Config, trial: Trial, data_digest: str) -> dict[str, Any]:
    return {
        "trial": trial.name,
        "gp_lambda": trial.gp_lambda,
        "seed": trial.seed,
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


def _check_images(images: Tensor, config: Config, ranks: Ranks) -> None:
    side = config.data.size
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or shape[1:] != (1, side, side):
        raise ValueError(f"images={images.dtype} {shape}: give uint8 (N, 1, {side}, {side}), as data.size={side} says")
    if len(images) < 2:
        raise ValueError(f"images={shape}: give at least 2 images of the class to synthesise")
    batch = min(config.train.batch_size, len(images))
    if batch < ranks.world:
        raise ValueError(f"--nproc-per-node={ranks.world}: a batch has {batch} images; start at most as many processes")


def pick_device(name: str) -> torch.device:
    """Torch device of a name; ``auto`` takes a GPU where there is one, that of the local rank under ``torchrun``."""
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    return torch.device(name)


def device_name(device: torch.device, processes: int = 1) -> str:
    """What the device is called, such as ``NVIDIA H100``, ``4 x NVIDIA H100`` or ``cpu, 2 threads``."""
    times = f"{processes} x " if processes > 1 else ""
    if device.type == "cuda":
        return times + torch.cuda.get_device_name(device)
    return f"{times}{device.type}, {torch.get_num_threads()} threads"
