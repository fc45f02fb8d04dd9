"""What a run on this machine needs, looked at before its first step: what only the last steps read, too."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from mammogan import user_folders
from mammogan.config import EXTRACTORS, Config, EvaluateConfig, ModelConfig
from mammogan.launch.arguments import GraphArguments, is_path

AT_HAND = ("auto", "random")
"""Extractors that need neither a file nor a download."""


def require(arguments: GraphArguments) -> None:
    """Raise ValueError for data, weights, networks and devices that this machine has not, naming the setting.

    Raises OSError where a network of the metrics can be fetched from nowhere.
    """
    settings = arguments.configuration
    _require_paths(arguments, settings)
    _require_devices(settings)
    _require_frozen(settings.model)
    _require_networks(settings.evaluate)


def _require_paths(arguments: GraphArguments, settings: Config) -> None:
    folders = {"--source": arguments.source, "--labels": arguments.labels}
    files = {
        "model.frozen_weights": settings.model.frozen_weights,
        "evaluate.extractor": "" if settings.evaluate.extractor in EXTRACTORS else settings.evaluate.extractor,
        "evaluate.extractor_weights": settings.evaluate.extractor_weights,
        "evaluate.lpips_weights": settings.evaluate.lpips_weights,
    }
    for name, location in (folders | files).items():
        if not is_path(location) or location == "random":
            continue
        path = user_folders.expanded(location)
        if not path.exists():
            raise ValueError(f"{name}={location!r}: no such file or folder; give the path of one")
        if name in files and not path.is_file():
            raise ValueError(f"{name}={location!r}: it is no file; give the path of one")


def _require_devices(settings: Config) -> None:
    """The steps choose theirs as late as the evaluation; PyTorch is asked only where one is named."""
    named = {
        "train.device": settings.train.device,
        "evaluate.device": settings.evaluate.device,
        "utility.device": settings.utility.device,
    }
    for setting, device in named.items():
        if device not in ("auto", "cpu"):
            from mammogan.device import pick_device

            pick_device(device, setting)


def _require_frozen(settings: ModelConfig) -> None:
    """Load the frozen branch that the first training would load."""
    if settings.frozen_weights != "random":
        from mammogan.features.densenet import load_frozen

        with _of_setting("model.frozen_weights", settings.frozen_weights):
            load_frozen(settings.frozen_weights, settings.frozen_sha256)


def _require_networks(settings: EvaluateConfig) -> None:
    """Load what the first evaluation would load; a download is then in the cache."""
    if settings.extractor not in AT_HAND or settings.extractor_weights:
        from mammogan.features.extractor import CPU, load_extractor

        with _of_setting("evaluate.extractor_weights", settings.extractor_weights):
            load_extractor(settings, CPU)
    if settings.lpips_weights:
        import torch

        from mammogan.metrics.lpips import load_perceptual

        with _of_setting("evaluate.lpips_weights", settings.lpips_weights):
            load_perceptual(settings.lpips_weights, torch.device("cpu"))


@contextmanager
def _of_setting(name: str, value: str) -> Generator[None]:
    """Name the setting whose file cannot be loaded; without a value the error is another one's, and names it."""
    try:
        yield
    except ValueError as error:
        if not value:
            raise
        raise ValueError(f"{name}={value!r}: {error}") from error
