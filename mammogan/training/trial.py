"""Training of one trial, from images to the folder it hands on; run again, it continues or copies what is there."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mammogan import lock, storage
from mammogan.addresses import masked
from mammogan.config import Config, Trial, require_seed
from mammogan.device import deterministic_algorithms, device_name, pick_device
from mammogan.features.densenet import FrozenDenseNet, load_frozen
from mammogan.features.extractor import Extractor, load_extractor
from mammogan.models.critic import Critic
from mammogan.models.critic_file import save_critic
from mammogan.results import TrialResult, TrialStatus
from mammogan.training import early_stop
from mammogan.training.checkpoint import Checkpoints
from mammogan.training.diagnostics import Overfitting
from mammogan.training.early_stop import HeldOutKid
from mammogan.training.interruption import Interruption, deferred_signals
from mammogan.training.loop import (
    CHECKPOINTS,
    DivergedError,
    Report,
    ReportError,
    ReportGrid,
    TrainingLoop,
    report_again,
)
from mammogan.training.ranks import Ranks
from mammogan.training.trainer import SINGLE_PROCESS, Trainer
from mammogan.training.trial_folder import CRITIC, HISTORY, Published, TrialFolder, trial_key

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
    validation: Tensor | None = None,
    ranks: Ranks = SINGLE_PROCESS,
) -> TrialResult:
    """Train one (lambda, seed) on uint8 images (N, 1, size, size) and return its result, ``trial.json``.

    Writes the trial folder of docs/architecture.md to ``out``, and the state to ``store/trials/<key>/``. A finished
    trial is copied out at once; an interrupted one continues, on the CPU and with ``train.deterministic`` to the bit as
    if it never stopped. In both cases the epochs and grids of the earlier run are reported again. SIGTERM and Ctrl-C
    save and leave, by SystemExit and KeyboardInterrupt. What may pass, such as memory that another process holds, is
    tried again from the last checkpoint, twice; then it, a store that was away for too long and divergence end in the
    status, never in a raise. ``report_error`` gets what ended it as failed.

    ``validation`` are images of other patients, uint8 (V, 1, size, size), that no update sees: by them overfitting is
    watched and, with ``train.patience``, the trial is stopped early. ``data_digest`` stands for both. Of several
    processes (``ranks``) the leader writes, and a fault raises, because only a new start of all of them can fix it.
    Raises ValueError for fewer than 2 images, for another shape or type, for a lambda that is not finite, for what is
    no seed and for a patience with fewer than 2 validation images; RuntimeError while another process writes ``out``;
    OSError where not even ``trial.json`` can be written.
    """
    _check_images(images, config, ranks)
    watched = images[:0] if validation is None or not len(validation) else validation
    _check_shape("validation", watched, config)
    config.train.require_validation(len(watched))
    if not math.isfinite(trial.gp_lambda):
        raise ValueError(f"gp_lambda={trial.gp_lambda}: give a finite weight")
    require_seed("seed", trial.seed)
    begun = TrialResult(trial.gp_lambda, trial.seed, data_digest, config.train.epochs)
    work = _Work(images, watched, config, trial, ranks, begun, report, report_grid)
    with _held(out) if ranks.is_main else contextlib.nullcontext():
        return _ended(work, store, out, report_error)


def _held(out: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the trial's folder from within, for what it lies in may be nobody's to write."""
    out.mkdir(parents=True, exist_ok=True)
    return lock.exclusive(out / lock.NAME, lock.busy(out))


def _ended(work: _Work, store: str, out: Path, report_error: ReportError | None) -> TrialResult:
    """The trial's result, however it ends."""
    config, trial, ranks = work.config, work.trial, work.ranks
    try:
        with deterministic_algorithms(config.train.deterministic):
            return work.finished(store, out)
    except DivergedError as error:
        result = dataclasses.replace(work.result, status=TrialStatus.DIVERGED, reason=str(error))
        if ranks.is_main:
            logger.info(f"{trial.name}: diverged: {error}")
    except Exception as error:
        if ranks.world > 1:
            raise
        reason = masked(f"{type(error).__name__}: {error}")
        result = dataclasses.replace(work.result, status=TrialStatus.FAILED, reason=reason)
        logger.exception(f"{trial.name}: failed: {reason}")
        if report_error:
            report_error(error)
    if ranks.is_main:
        TrialFolder(out, "").write_result(result)
    return result


@dataclass
class _Work:
    """A trial, its images (uint8, to train on and to validate by) and those whom it tells."""

    images: Tensor
    validation: Tensor
    config: Config
    trial: Trial
    ranks: Ranks
    result: TrialResult
    """As far as it has come."""
    report: Report
    report_grid: ReportGrid

    def finished(self, store: str, out: Path) -> TrialResult:
        """The result of the finished trial, copied or trained; raises what training raises."""
        config = self.config
        device = pick_device(config.train.device, "train.device")
        frozen, identity = load_frozen(config.model.frozen_weights, config.model.frozen_sha256)
        judge = load_extractor(config.evaluate, device) if config.train.patience else None
        judged_by = f"{judge.sha256} {early_stop.RULE}" if judge else ""
        key = trial_key(config, self.trial, self.result.data_digest, identity.sha256, judged_by)
        self.result = dataclasses.replace(self.result, key=key, frozen=identity)
        folder = TrialFolder(out, storage.join(store, "trials", key))
        if earlier := folder.finished_result(self.result, config.train):
            if self.ranks.is_main:
                folder.copy_out(earlier)
                logger.info(f"{self.trial.name}: finished by an earlier run, copied from {folder.uri}")
                report_again(folder, earlier.files, folder.read_history(), self.report, self.report_grid)
            return earlier
        self.result = dataclasses.replace(self.result, device=device_name(device, self.ranks.world))
        with deferred_signals() as interruption:
            self._train(folder, frozen, device, judge, interruption)
        self.result = dataclasses.replace(self.result, status=TrialStatus.FINISHED)
        if self.ranks.is_main:
            folder.write_result(self.result)
            Checkpoints(storage.join(folder.uri, CHECKPOINTS)).clear()
        return self.result

    def _train(
        self,
        folder: TrialFolder,
        frozen: FrozenDenseNet,
        device: torch.device,
        extractor: Extractor | None,
        interruption: Interruption,
    ) -> None:
        judge = HeldOutKid(self.validation, extractor) if extractor else None
        overfitting = Overfitting(self.images, self.validation)
        untrained = self.result

        def attempt() -> None:
            trainer = Trainer(self.images, self.config, self.trial, frozen, device, self.ranks)
            loop = TrainingLoop(
                trainer, overfitting, judge, folder, untrained, interruption, self.report, self.report_grid
            )
            try:
                loop.run()
            finally:
                self.result = loop.result
            if self.ranks.is_main:
                self._leave_critic(trainer.critic, folder)
                self._add(folder.publish(HISTORY))

        _retry(attempt, self.trial.name, RETRY_PAUSES_S if self.ranks.world == 1 else ())

    def _leave_critic(self, critic: Critic, folder: TrialFolder) -> None:
        save_critic(
            critic,
            folder.out / CRITIC,
            frozen_sha256=self.result.frozen.sha256,
            data_digest=self.result.data_digest,
        )
        self._add(folder.publish(CRITIC))

    def _add(self, published: Published) -> None:
        self.result = dataclasses.replace(self.result, files=(*self.result.files, published.file))


def _retry(attempt: Callable[[], None], name: str, pauses_s: Sequence[float]) -> None:
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


def _check_shape(name: str, images: Tensor, config: Config) -> None:
    side = config.data.size
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or shape[1:] != (1, side, side):
        raise ValueError(f"{name}={images.dtype} {shape}: give uint8 (N, 1, {side}, {side}), as data.size={side} says")


def _check_images(images: Tensor, config: Config, ranks: Ranks) -> None:
    _check_shape("images", images, config)
    if len(images) < 2:
        raise ValueError(f"images={tuple(images.shape)}: give at least 2 images of the class to synthesise")
    batch = min(config.train.batch_size, len(images))
    if batch < ranks.world:
        raise ValueError(f"--nproc-per-node={ranks.world}: a batch has {batch} images; start at most as many processes")
