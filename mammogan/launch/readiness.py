"""What a run on this machine needs, looked at before its first step: what only the last steps read, too."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mammogan import user_folders
from mammogan.config import EXTRACTORS, Config, EvaluateConfig, ModelConfig
from mammogan.launch.arguments import GraphArguments, is_path

if TYPE_CHECKING:
    import torch

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
    _require_networks(settings.evaluate, settings.data.size)


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


def _require_networks(settings: EvaluateConfig, side: int) -> None:
    """Load what the first evaluation would load; a download is then in the cache. Images have ``side`` px.

    A network of somebody's file is shown images too: that it loads does not say that it takes them.
    """
    if settings.extractor not in AT_HAND or settings.extractor_weights:
        from mammogan.features.extractor import load_extractor, require_usable

        with _of_setting("evaluate.extractor_weights", settings.extractor_weights):
            extractor = load_extractor(settings, _device_of(settings))
        if settings.extractor not in EXTRACTORS:
            with _of_setting("evaluate.extractor", settings.extractor):
                require_usable(extractor, side)
    if settings.lpips_weights:
        import torch

        from mammogan.metrics.lpips import load_perceptual

        with _of_setting("evaluate.lpips_weights", settings.lpips_weights):
            load_perceptual(settings.lpips_weights, torch.device("cpu"))


def _device_of(settings: EvaluateConfig) -> torch.device:
    """The one that is named, for which a program may be made, else the CPU: the steps' processes need the GPU."""
    from mammogan.device import pick_device

    return pick_device("cpu" if settings.device == "auto" else settings.device, "evaluate.device")


@contextmanager
def _of_setting(name: str, value: str) -> Generator[None]:
    """Name the setting whose file cannot be loaded; without a value the error is another one's, and names it."""
    try:
        yield
    except ValueError as error:
        if not value:
            raise
        raise ValueError(f"{name}={value!r}: {error}") from error
