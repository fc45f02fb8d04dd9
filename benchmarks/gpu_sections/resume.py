"""Whether two runs of the same steps, and a run that was saved and loaded, are equal to the bit on this device."""

from __future__ import annotations

import os
import time

import torch
from torch import Tensor

from gpu_sections.crops import read_malignant
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.config import Config, Trial, overrides_text, resolve
from mammogan.device import CUBLAS_WORKSPACE, DETERMINISTIC_WORKSPACE, deterministic_algorithms
from mammogan.features.densenet import random_frozen
from mammogan.training.trainer import Trainer

TRIAL = Trial(gp_lambda=3.0, seed=0)
MODERN = {
    "model.upsampling": "interpolated",
    "model.readout": "projected",
    "train.n_critic": 2,
    "train.ema_decay": 0.999,
    "train.diff_shift": 0.125,
    "train.diff_cutout": 0.3,
    "train.diff_contrast": 0.2,
}
VARIANTS = {"paper": {}, "as preset modern": MODERN}


def measure(setting: Setting, record: Record) -> None:
    """Record how many tensors differ, with torch's algorithms as they are and with deterministic ones."""
    # read once, when cuBLAS starts, which the trainings as they are do first
    os.environ[CUBLAS_WORKSPACE] = DETERMINISTIC_WORKSPACE
    images = read_malignant(setting.crops, setting.size)
    for variant, changes in VARIANTS.items():
        config = paper(setting, changes)
        for deterministic in (False, True):
            label = f"{variant}, {'deterministic algorithms' if deterministic else 'as it is'}"
            with record.case(label):
                _measure_variant(label, images, config, setting, record, deterministic)


def paper(setting: Setting, changes: dict[str, object]) -> Config:
    """Preset ``paper`` with random frozen weights, at this size, batch and device."""
    common = {
        "model.frozen_weights": "random",
        "model.frozen_sha256": "",
        "data.size": setting.size,
        "train.batch_size": setting.batch,
        "train.device": setting.device,
        "train.epochs": setting.epochs,
    }
    return resolve("paper", overrides_text(common | changes))


def _measure_variant(
    label: str, images: Tensor, config: Config, setting: Setting, record: Record, deterministic: bool
) -> None:
    device = setting.torch_device()
    with deterministic_algorithms(deterministic):
        whole = _train(images, config, device, setting.steps)
        began = time.perf_counter()
        again = _differences(whole, _train(images, config, device, setting.steps))
        seconds = time.perf_counter() - began
        split = _differences(whole, _train(images, config, device, setting.steps, setting.steps // 2))
    for way, differences in (
        ("again", again),
        (f"saved and loaded after {setting.steps // 2} of {setting.steps} steps", split),
    ):
        figures = {"tensors_that_differ": len(differences), "largest_difference": max(differences, default=0.0)}
        record.add(f"{label}, {way}", **figures, tensors=len(whole))
    record.add(f"{label}, {setting.steps} steps, networks made and compared", seconds=seconds)


def _train(
    images: Tensor, config: Config, device: torch.device, steps: int, split: int | None = None
) -> dict[str, Tensor]:
    """Trained tensors after all steps; where it is split, a second trainer loads what the first one saved."""
    trainer = Trainer(images, config, TRIAL, random_frozen(), device)
    for step in range(steps):
        if step == split:
            saved = trainer.state()
            trainer = Trainer(images, config, TRIAL, random_frozen(), device)
            trainer.load_state(saved)
        trainer.advance()
    states = {"generator": trainer.generator.state_dict(), "critic": trainer.critic.trained_state()}
    return {f"{name}.{key}": value.cpu() for name, state in states.items() for key, value in state.items()}


def _differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[float]:
    """Largest absolute difference of every tensor that is not the same to the bit."""
    return [(one[name] - other[name]).abs().max().item() for name in one if not torch.equal(one[name], other[name])]
