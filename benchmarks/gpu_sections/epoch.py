"""Whole epochs of trials on real crops, by the wall and by their own books: one trial alone, then three at once."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gpu_sections.clock import synchronise
from gpu_sections.crops import read_malignant
from gpu_sections.record import Record
from gpu_sections.resume import paper
from gpu_sections.setting import Setting
from mammogan.config import PRESETS, Trial
from mammogan.results import TrialStatus
from mammogan.training.trial import train_trial

ONE = (3.0,)
FAN_OUTS = {
    "1 at once": (ONE, {}),
    "1 at once, deterministic": (ONE, {"train.deterministic": True}),
    "1 at once, float32": (ONE, {"train.precision": "float32"}),
    "3 at once": (PRESETS["paper"].lambdas, {}),
}


@dataclass(frozen=True)
class Epochs:
    """What a trial took."""

    wall_s: list[float]
    """From the report of an epoch to that of the next one, with all that is written in between."""
    images_per_s: list[float]
    """As the trial itself reports it."""
    images: int
    """Real images that the critic is shown in an epoch."""


def measure(setting: Setting, record: Record) -> None:
    """Record the pace of every trial, and how long the preset's three would take."""
    for label, (lambdas, changes) in FAN_OUTS.items():
        with record.case(label), tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            trials = _trials(setting, lambdas, changes, Path(folder))
            seconds = time.perf_counter() - began
            epoch_s = {gp_lambda: statistics.median(epochs.wall_s[1:]) for gp_lambda, epochs in trials.items()}
            for gp_lambda, epochs in trials.items():
                by_wall, by_books = epochs.images / epoch_s[gp_lambda], statistics.median(epochs.images_per_s[1:])
                record.add(
                    f"{label}, lambda {gp_lambda:g}",
                    epoch_s=epoch_s[gp_lambda],
                    images_per_s_by_wall=by_wall,
                    images_per_s_by_its_own_books=by_books,
                    books_over_wall=by_books / by_wall,
                )
            sweep_s = statistics.mean(epoch_s.values()) * PRESETS["paper"].train.epochs * len(PRESETS["paper"].lambdas)
            record.add(label, wall_s=seconds, minutes_of_the_whole_preset=sweep_s / len(lambdas) / 60)


def _trials(
    setting: Setting, lambdas: tuple[float, ...], changes: dict[str, object], folder: Path
) -> dict[float, Epochs]:
    """Epochs by lambda, every trial in a process of its own that ends with this one's group."""
    process_group = {"initializer": os.setpgid, "initargs": (0, os.getpgrp())}
    with ProcessPoolExecutor(len(lambdas), setting.context(), **process_group) as processes:
        running = {value: processes.submit(_train, setting, value, changes, folder / str(value)) for value in lambdas}
        return {value: future.result() for value, future in running.items()}


def _train(setting: Setting, gp_lambda: float, changes: dict[str, object], folder: Path) -> Epochs:
    """One trial. Raises RuntimeError where it does not finish."""
    config = paper(setting, changes)
    device, images = setting.torch_device(), read_malignant(setting.crops, setting.size)
    reported, images_per_s = [time.perf_counter()], []

    def report(_: int, metrics: Mapping[str, float]) -> None:
        synchronise(device)
        reported.append(time.perf_counter())
        images_per_s.append(metrics["system/images_per_s"])

    def ignore(_: int, __: Path) -> None:
        """Nobody looks at the grids."""

    store, out = str(folder / "store"), folder / "out"
    trial = Trial(gp_lambda, 0)
    result = train_trial(images, config, trial, data_digest="", store=store, out=out, report=report, report_grid=ignore)
    if result.status is not TrialStatus.FINISHED:
        raise RuntimeError(f"{trial.name} {result.status}: {result.reason}")
    wall_s = [after - before for before, after in itertools.pairwise(reported)]
    batch = min(setting.batch, len(images))
    return Epochs(wall_s, images_per_s, config.train.n_critic * batch * (len(images) // batch))
