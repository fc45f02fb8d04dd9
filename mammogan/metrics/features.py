"""Feature extractors for KID and FID: plain callables from grey images to feature vectors.

The seam is ``images uint8 (B, 1, H, W) -> features (B, D) float32``. Each extractor has a name that stands in the
metric's key, because features of different networks are different scales, and the sha256 of its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mammogan import storage
from mammogan.config import EvaluateConfig
from mammogan.metrics import weights
from mammogan.metrics.intervals import Floats

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
# configuration D of Simonyan and Zisserman 2015, table 1, without its dense layers
VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
VGG_LARGEST_SIDE = 112
VGG_SEED = 0


@dataclass(frozen=True)
class Extractor:
    """A feature extractor and where its weights come from."""

    name: str
    """Part of the metric's key: ``inception``, ``random_vgg``."""
    sha256: str
    """Of the weights' file, or of the random weights themselves."""
    note: str
    """What to know about the features, in a sentence."""
    features: Callable[[Tensor], Tensor]
    """uint8 (B, 1, H, W) -> (B, D), float32."""


def load_extractor(config: EvaluateConfig, device: torch.device) -> Extractor:
    """Extractor that ``config.extractor`` asks for.

    ``auto`` is Inception where its weights are found, else the random VGG16; ``inception`` downloads them where they
    are not. Raises FileNotFoundError for a path that is missing, ValueError for a file of other content, OSError where
    the download fails.
    """
    if config.extractor == "random":
        return random_vgg(device)
    path = Path(config.extractor_weights).expanduser()
    if config.extractor_weights or (path := weights.in_hub_cache(INCEPTION_FILE)).is_file():
        return inception(storage.fetch(str(path)), device)
    if config.extractor == "auto":
        return random_vgg(device)
    return inception(_downloaded_inception(path), device)


def _downloaded_inception(path: Path) -> Path:
    """Fetch torch-fidelity's weights into the hub cache; the name ends with the first 8 digits of the sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest_start = path.stem.rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix=digest_start, progress=False)
    except OSError as error:
        raise OSError(
            f"evaluate.extractor='inception': {INCEPTION_URL} cannot be fetched ({error}); give the file as "
            "evaluate.extractor_weights, or set evaluate.extractor=random"
        ) from error
    return path


def inception(path: Path, device: torch.device) -> Extractor:
    """torch-fidelity's Inception v3 (the FID network of 2015), pool features (B, 2048), from its weights' file.

    Grey is repeated to three channels and resized to 299 as TensorFlow 1 did. Raises ValueError for another file.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights.read_state(path)  # torch-fidelity's own reading would run code that a file brings along
    try:
        model = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold torch-fidelity's Inception v3: {str(error).splitlines()[0]}") from error
    model.to(device)

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        return model(images.to(device).expand(-1, 3, -1, -1))[0]

    sha256 = storage.sha256_of(path)
    known = sha256.startswith(INCEPTION_FILE.removesuffix(".pth").rpartition("-")[2])
    note = "torch-fidelity's Inception v3" + (
        "" if known else " architecture with weights other than the published ones"
    )
    return Extractor("inception" if known else f"inception_{sha256[:8]}", sha256, note, features)


def random_vgg(device: torch.device) -> Extractor:
    """VGG16 with He-normal weights of fixed seed, mean of its last convolution over positions (B, 512).

    Random features rank generators without any download, as Naeem et al. 2020 propose for domains far from ImageNet.
    Sides above 112 are averaged down to 112 first.
    """
    model = _vgg16()
    sha256 = weights.sha256_of_state(model)
    model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    @torch.inference_mode()
    def features(images: Tensor) -> Tensor:
        x = images.to(device).float() / 127.5 - 1
        if max(x.shape[-2:]) > VGG_LARGEST_SIDE:
            sides = [min(side, VGG_LARGEST_SIDE) for side in x.shape[-2:]]
            x = nn.functional.interpolate(x, size=sides, mode="area")
        return model(x.contiguous(memory_format=torch.channels_last)).mean(dim=(-2, -1))

    note = "VGG16 with random weights of fixed seed, another scale than Inception's: compare only within this key"
    return Extractor("random_vgg", sha256, note, features)


def _vgg16() -> nn.Sequential:
    rng = torch.Generator().manual_seed(VGG_SEED)
    layers: list[nn.Module] = []
    channels = 1
    for width in VGG16:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.utils.skip_init(nn.Conv2d, channels, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=rng)
        nn.init.zeros_(convolution.get_parameter("bias"))
        layers += [convolution, nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers)


def extract(extractor: Extractor, images: Tensor, batch_size: int) -> Floats:
    """Features (N, D), float64, of uint8 ``images`` (N, 1, H, W), a batch at a time."""
    batches = (extractor.features(batch).double().cpu().numpy() for batch in images.split(batch_size))
    return np.concatenate(list(batches))
