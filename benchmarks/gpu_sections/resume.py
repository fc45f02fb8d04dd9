"""Whether two runs of the same steps, and a run that was saved and loaded, are equal to the bit on this device."""

from __future__ import annotations

import io
import json
import os
import time
import warnings

import torch
from torch import Tensor

from gpu_sections.crops import read_malignant
from gpu_sections.record import Record
from gpu_sections.setting import Setting
from mammogan.config import Config, Trial, resolve
from mammogan.features.densenet import random_frozen
from mammogan.features.saved import read_saved
from mammogan.training.trainer import Trainer

TRIAL = Trial(gp_lambda=3.0, seed=0)
UPSAMPLED = {"model.doubling": "upsampled", "train.diff_shift": 0.125, "train.diff_cutout": 0.3}
VARIANTS = {"paper": {}, "upsampled with DiffAugment": UPSAMPLED}


def measure(setting: Setting, record: Record) -> None:
    """Record how many tensors differ, with torch's algorithms as they are and with deterministic ones."""
    # what cuBLAS asks for to be deterministic; read when CUDA starts, which in this process it has not
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
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
        "train.checkpoint_every": 2,
    }
    return resolve("paper", json.dumps(common | changes))


def _measure_variant(
    label: str, images: Tensor, config: Config, setting: Setting, record: Record, deterministic: bool
) -> None:
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    device = setting.torch_device()
    try:
        with warnings.catch_warnings(record=deterministic) as caught:
            warnings.simplefilter("always")
            whole = _train(images, config, device, setting.steps)
            began = time.perf_counter()
            again = _differences(whole, _train(images, config, device, setting.steps))
            seconds = time.perf_counter() - began
            split = _differences(whole, _train(images, config, device, setting.steps, setting.steps // 2))
    finally:
        torch.use_deterministic_algorithms(False)
    # where torch has no deterministic algorithm it warns
    note = "; ".join(sorted({str(warning.message)[:120] for warning in caught or ()}))
    for way, differences in (
        ("again", again),
        (f"saved and loaded after {setting.steps // 2} of {setting.steps} steps", split),
    ):
        figures = {"tensors_that_differ": len(differences), "largest_difference": max(differences, default=0.0)}
        record.add(f"{label}, {way}", note, **figures, tensors=len(whole))
    record.add(f"{label}, {setting.steps} steps, networks made and compared", seconds=seconds)


def _train(
    images: Tensor, config: Config, device: torch.device, steps: int, split: int | None = None
) -> dict[str, Tensor]:
    """Trained tensors after all steps; where it is split, a second trainer loads what the first one saved."""
    trainer = Trainer(images, config, TRIAL, random_frozen(), device)
    for step in range(steps):
        if step == split:
            saved = io.BytesIO()
            torch.save(trainer.state(), saved)
            saved.seek(0)
            trainer = Trainer(images, config, TRIAL, random_frozen(), device)
            trainer.load_state(read_saved(saved))
        trainer.advance()
    states = {"generator": trainer.generator.state_dict(), "critic": trainer.critic.trained_state()}
    return {f"{name}.{key}": value.cpu() for name, state in states.items() for key, value in state.items()}


def _differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[float]:
    """Largest absolute difference of every tensor that is not the same to the bit."""
    return [(one[name] - other[name]).abs().max().item() for name in one if not torch.equal(one[name], other[name])]
