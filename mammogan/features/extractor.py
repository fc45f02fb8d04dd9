"""Feature extractors for KID and FID: plain callables from grey images to feature vectors.

The seam is ``images uint8 (B, 1, H, W) -> features (B, D) float32``. Each extractor has a name that stands in the
metric's key, because features of different networks are different scales, and the sha256 of its weights.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mammogan import console, storage, user_folders
from mammogan.config import RADIMAGENET_SHA256, RADIMAGENET_URL, SELF_SUPERVISED, EvaluateConfig, digest
from mammogan.device import float32_convolutions
from mammogan.features import weights
from mammogan.features.exported import load_exported
from mammogan.features.inception import Inception
from mammogan.features.parallel_batches import map_batches
from mammogan.features.radimagenet import RadImageNet
from mammogan.features.saved import OUT_OF_MEMORY
from mammogan.features.self_supervised import SelfSupervised
from mammogan.features.vgg import RandomVgg
from mammogan.image_tensors import digest_of
from mammogan.statistics import Floats

logger = logging.getLogger(__name__)

LONGEST_REASON = 300
CPU = torch.device("cpu")
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of torch-fidelity's published file, whose name has its first 8 digits."""
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"


@dataclass(frozen=True)
class Extractor:
    """A feature extractor and where its weights come from."""

    name: str
    """Part of the metric's key: ``inception``, ``radimagenet``, ``random_vgg``, ..."""
    sha256: str
    """Of the weights' file, or of the random weights themselves."""
    note: str
    """What to know about the features, in a sentence."""
    features: Callable[[Tensor], Tensor]
    """uint8 (B, 1, H, W) on any device -> (B, D), float32."""
    device: torch.device = CPU
    """Where the network is."""


def load_extractor(config: EvaluateConfig, device: torch.device) -> Extractor:
    """Extractor that ``config.extractor`` asks for.

    ``auto`` is Inception where its weights are found, else the random VGG16. The named ones take their weights from
    ``config.extractor_weights``, else from the cache, else from their published address. A file is compared with
    ``config.extractor_sha256`` before it is read, where that is given. Raises FileNotFoundError for a path that is
    missing, ValueError for a file of other content or of another sha256, OSError where a download fails.
    """
    choice, sha256 = config.extractor, config.extractor_sha256
    if choice == "auto":
        available = config.extractor_weights or weights.in_hub_cache(INCEPTION_FILE).is_file()
        choice = "inception" if available or sha256 else "random"
    if choice == "random":
        return random_vgg(device)
    if choice in ("inception", "inception_clean"):
        return inception(_inception_file(config.extractor_weights, sha256), choice, device)
    if choice in SELF_SUPERVISED:
        return self_supervised(storage.fetch(config.extractor_weights, sha256), choice, device)
    if choice == "radimagenet":
        return radimagenet(config.extractor_weights, device, sha256)
    return exported(storage.fetch(choice, sha256), device, sha256)


def _inception_file(given: str, sha256: str) -> Path:
    """File given, or torch-fidelity's weights in torch's hub cache, downloaded if they are not there.

    The latter may be another file of that name: ``inception`` says by the sha256 which one it is.
    """
    if given:
        return storage.fetch(given, sha256)
    path = weights.in_hub_cache(INCEPTION_FILE)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(INCEPTION_URL, str(path), INCEPTION_SHA256, progress=False)
        except OSError as error:
            raise OSError(
                f"evaluate.extractor='inception': {INCEPTION_URL} cannot be fetched ({error}); give the file as "
                "evaluate.extractor_weights, or set evaluate.extractor=random"
            ) from error
    return storage.fetch(str(path), sha256)


def inception(path: Path, name: str, device: torch.device) -> Extractor:
    """Inception v3 of FID; ``inception_clean`` resizes as clean-fid does, ``inception`` as torch-fidelity.

    Weights other than the published ones put a part of their sha256 in the name. Raises ValueError for another file.
    """
    sha256 = storage.sha256_of(path)
    model = Inception(path, "clean" if name == "inception_clean" else "tf1")
    if sha256 == INCEPTION_SHA256:
        return Extractor(
            name, sha256, "torch-fidelity's Inception v3 with the published weights", _on(model, device), device
        )
    note = "torch-fidelity's Inception v3 with weights other than the published ones: comparable only within this key"
    return Extractor(f"{name}_{sha256[:8]}", sha256, note, _on(model, device), device)


def radimagenet(given: str, device: torch.device, expected: str = "") -> Extractor:
    """DenseNet121 of RadImageNet from a file, or from its published address. Raises as ``storage.fetch`` does.

    ``expected`` is the file's sha256; empty takes any for a file, and the published one for the address.
    """
    path = storage.fetch(given, expected) if given else storage.fetch(RADIMAGENET_URL, expected or RADIMAGENET_SHA256)
    sha256 = storage.sha256_of(path)
    published = sha256 == RADIMAGENET_SHA256
    name = "radimagenet" if published else f"radimagenet_{sha256[:8]}"
    note = f"DenseNet121 with {'the published RadImageNet weights' if published else 'weights of the given file'}"
    return Extractor(name, sha256, note, _on(RadImageNet(path), device), device)


def self_supervised(path: Path, kind: str, device: torch.device) -> Extractor:
    """ResNet-50 of SwAV or DINO, whose file's sha256 makes its name. Raises ValueError for another file."""
    sha256 = storage.sha256_of(path)
    note = f"ResNet-50 trained without labels by {kind}, 2048 features: comparable only with this very file"
    return Extractor(f"{kind}_{sha256[:8]}", sha256, note, _on(SelfSupervised(path, kind), device), device)


def random_vgg(device: torch.device) -> Extractor:
    """VGG16 with random weights of fixed seed."""
    model = RandomVgg()
    note = "VGG16 with random weights of fixed seed, another scale than Inception's: compare only within this key"
    return Extractor("random_vgg", weights.sha256_of_state(model), note, _on(model, device), device)


def exported(path: Path, device: torch.device, expected: str = "") -> Extractor:
    """Network of a TorchScript or ONNX file; its name is ``file_``, the file's and its sha256's beginning.

    Raises as ``load_exported`` does.
    """
    network = load_exported(path, device, expected)
    name = f"file_{re.sub('[^A-Za-z0-9]+', '_', path.stem)}_{network.sha256[:8]}"
    return Extractor(name, network.sha256, f"network of {path.name}", _on(network.features, device), device)


def _on(model: Callable[[Tensor], Tensor], device: torch.device) -> Callable[[Tensor], Tensor]:
    if isinstance(model, nn.Module):
        model.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    @float32_convolutions()
    def features(images: Tensor) -> Tensor:
        return model(images.to(device))

    return features


def require_usable(extractor: Extractor, side: int) -> None:
    """Raise ValueError where a network makes no features of images of a side, in batches of more than one size.

    ``extract`` feeds it such batches: its last one is smaller.
    """
    widths = []
    for count in (2, 1):
        images = torch.arange(count * side**2).remainder(256).to(torch.uint8).view(count, 1, side, side)
        try:
            features = extractor.features(images)
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # those of ONNX and of a program share no base but Exception
            raise ValueError(
                f"of {count} images of {side} px it makes no features ({_short(error)}); give a network of one input, "
                "floats (N, 3, H, W) of any N, and one output, features (N, D)"
            ) from error
        if not bool(features.isfinite().all()):
            raise ValueError(f"of {count} images of {side} px it makes features that are not finite")
        widths.append(features.shape[1])
    if widths[0] != widths[1]:
        raise ValueError(f"of 2 images it makes {widths[0]} features each, of one {widths[1]}")


def _short(error: Exception) -> str:
    """What a library says, in one line; a program's error ends with what is wrong, behind where."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"... {text[-LONGEST_REASON:]}"


def extract(
    extractor: Extractor, images: Tensor, batch_size: int, advance: console.Advance = console.no_progress
) -> Floats:
    """Features (N, D), float64, of uint8 ``images`` (N, 1, H, W), a batch at a time; ``advance`` counts images."""
    # one array from the start: a small one kept for each batch would pin the heap that the next batches' maps need
    matrix, done = np.empty((0, 0)), 0
    for features in map_batches(extractor.features, images, batch_size, extractor.device):
        if not done:
            matrix = np.empty((len(images), features.shape[1]))
        matrix[done : done + len(features)] = features.cpu().numpy()
        done += len(features)
        advance(len(features))
    return matrix


def extract_cached(
    extractor: Extractor, images: Tensor, batch_size: int, advance: console.Advance = console.no_progress
) -> Floats:
    """``extract``, kept in ``$MAMMOGAN_CACHE`` (``~/.cache/mammogan``) by pixels, extractor and weights.

    For real images, which every snapshot, trial and run compares with. A file that cannot be read is made again, and
    where none can be kept the features are made each time.
    """
    key = digest([digest_of(images), extractor.name, extractor.sha256])
    path = user_folders.cache(variable=storage.CACHE) / "features" / f"{key}.npy"
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        features = extract(extractor, images, batch_size, advance)
        content = io.BytesIO()
        np.save(content, features)
        try:
            storage.write_bytes(str(path), content.getvalue())
        except OSError as error:
            logger.debug(f"features are not kept: {error}")
    else:
        advance(len(images))
    return features
