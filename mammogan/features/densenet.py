"""The frozen diagnostic branch: DenseNet121 up to ``conv3_block4_concat`` (Mei et al. 2022, RadImageNet).

In torchvision's names: conv0 ... transition1, then the first four layers of denseblock2. Its input is the
grey image replicated to three equal channels, in [-1, 1], which is the preprocessing of RadImageNet's PyTorch
file, (x - 127.5) * 2 / 255 for x in [0, 255]; its Keras file wants another one and is refused.
"""

from __future__ import annotations

import hashlib
import logging
import urllib.parse
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn
from torchvision.models import densenet121
from torchvision.models.densenet import _Transition

from mammogan import storage
from mammogan.features.densenet_weights import read_trunk
from mammogan.results import Network

logger = logging.getLogger(__name__)

RANDOM_SEED = 20240117
CUT_LAYERS = 4
OUT_CHANNELS = 256
DEPTH_STRIDES = (4, 8)


class FrozenDenseNet(nn.Module):
    """(B, 1, H, W), float32, [-1, 1] -> (B, 256, H/8, W/8); never trains, and stays in eval mode.

    617,856 weights and 6,336 BatchNorm statistics; 1.447 GMAC for a 224x224 image.
    """

    conv0: nn.Conv2d
    norm0: nn.BatchNorm2d
    denseblock1: nn.Module
    transition1: _Transition
    denseblock2: nn.Module

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        for name in ("conv0", "norm0", "relu0", "pool0", "denseblock1", "transition1"):
            self.add_module(name, getattr(features, name))
        block = features.get_submodule("denseblock2")
        for name in [name for name, _ in block.named_children()][CUT_LAYERS:]:
            delattr(block, name)
        self.add_module("denseblock2", block)
        # inplace ReLUs would overwrite maps that the penalty's second derivative needs
        for module in self.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenDenseNet:  # noqa: ARG002
        """Stay in eval mode: batch statistics would couple the samples and drift from the published ones."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of grey images; the channel is replicated here."""
        return self.feature_maps(x)[-1]

    def feature_maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps at the end of either dense block: (B, 256, H/4, W/4), and (B, 256, H/8, W/8), which is ``forward``'s."""
        x = x.expand(-1, 3, -1, -1)
        for name in ("conv0", "norm0", "relu0", "pool0"):
            x = self.get_submodule(name)(x)
        shallow = self.denseblock1(x)
        return shallow, self.denseblock2(self.transition1(shallow))


def load_frozen(weights: str, sha256: str = "") -> tuple[FrozenDenseNet, Network]:
    """Frozen branch with the weights at a path or address, or ``random`` ones, and their name and sha256.

    Raises FileNotFoundError for a missing path, ValueError for a wrong sha256, for a file that is no plain
    state dict, and for keys or shapes that are not exactly DenseNet121's.
    """
    if weights == "random":
        frozen = random_frozen()
        identity = Network("random", _digest(frozen))
        logger.info(f"frozen branch: RANDOM weights of a fixed seed (sha256 {identity.sha256[:12]}), no RadImageNet")
        return frozen, identity
    path = storage.fetch(weights, sha256)
    frozen = FrozenDenseNet(read_trunk(path, "model.frozen_weights"))
    identity = Network(_file_name(weights), storage.sha256_of(path))
    logger.info(f"frozen branch: {identity.name} from {weights} (sha256 {identity.sha256[:12]})")
    return frozen, identity


def _file_name(location: str) -> str:
    """Of a path or address, without the query that may sign it."""
    return PurePosixPath(urllib.parse.urlsplit(location).path).name if "://" in location else Path(location).name


def random_frozen() -> FrozenDenseNet:
    """Frozen branch with He-normal weights of a fixed seed, the same in every run whatever its training seed.

    BatchNorm stands at the identity: mean 0, variance 1, scale 1, shift 0. Each ReLU follows it and each
    convolution has He's gain (2015, eq. 10), so the scale of the features neither vanishes nor explodes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        features = densenet121(weights=None).features
    return FrozenDenseNet(features)


def _digest(module: nn.Module) -> str:
    sha = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        sha.update(key.encode())
        sha.update(value.contiguous().numpy().tobytes())
    return sha.hexdigest()
