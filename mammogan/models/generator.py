"""The generator G: z in R^d, standard Gaussian -> grey image in [-1, 1] (the paper's Fig. 3).

Dense -> 7x7xC -> Conv2DTranspose + BatchNorm + LeakyReLU at every doubling of the side
-> last Conv2DTranspose + tanh at the full side. Channels halve at each doubling, down to 32.

``interpolated``, every doubling interpolates and passes the result through a 3x3 convolution with BatchNorm and
LeakyReLU, at the full side too, before a last convolution + tanh. A transposed convolution draws every other pixel with
other weights, and until they have learnt to agree that shows as a pattern; here all pixels share theirs (Odena et al.
2016).
"""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mammogan import storage
from mammogan.device import float32_convolutions
from mammogan.features.saved import OUT_OF_MEMORY, read_saved, require_shapes

SNAPSHOT_FORMAT = 2
UPSAMPLING_OF_FORMAT_1 = {"transposed": "transposed", "upsampled": "interpolated"}
"""Values of its field ``doubling``, which the first ones lack."""
BASE_SIDE = 7
FEWEST_CHANNELS = 32
LEAK = 0.2


Upsampling = Literal["transposed", "interpolated"]


def doublings(size: int) -> int:
    """K of ``size`` = 7 * 2^k. Raises ValueError for any other side."""
    k = round(math.log2(size / BASE_SIDE)) if size >= BASE_SIDE else 0
    if k < 2 or BASE_SIDE * 2**k != size:
        raise ValueError(f"size={size!r}: use 7 * 2^k from 28: 28, 56, 112, 224, ...")
    return k


class Generator(nn.Module):
    """z (B, latent_dim), standard Gaussian -> (B, 1, size, size), float32, [-1, 1]."""

    def __init__(
        self,
        size: int,
        latent_dim: int,
        channels: int,
        upsampling: Upsampling = "transposed",
    ) -> None:
        super().__init__()
        self.size, self.latent_dim, self.channels, self.upsampling = size, latent_dim, channels, upsampling
        self.dense = nn.Linear(latent_dim, channels * BASE_SIDE**2, bias=False)
        widths = [max(channels >> i, min(FEWEST_CHANNELS, channels)) for i in range(doublings(size))]
        self.norm = _norm_and_leak(channels)
        if upsampling == "transposed":
            block, self.last = _transposed, nn.ConvTranspose2d(widths[-1], 1, kernel_size=4, stride=2, padding=1)
        else:
            widths.append(max(1, widths[-1] // 2))
            block, self.last = _interpolated, nn.Conv2d(widths[-1], 1, kernel_size=3, padding=1)
        self.blocks = nn.ModuleList(block(wide, narrow) for wide, narrow in itertools.pairwise(widths))
        self._initialise()

    def _initialise(self) -> None:
        """DCGAN's N(0, 0.02) for the layers that BatchNorm rescales, Glorot for the last one, which has none.

        Radford et al. 2016, section 3. N(0, 0.02) in the last layer would start the image near flat grey.
        """
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.02)
        nn.init.xavier_normal_(self.last.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Images of a batch of latent vectors."""
        x = self.norm(self.dense(z).unflatten(1, (self.channels, BASE_SIDE, BASE_SIDE)))
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.last(x))


def _transposed(wide: int, narrow: int) -> nn.Sequential:
    # kernel 4 with stride 2 overlaps evenly: no checkerboard (Odena et al. 2016)
    upsampling = nn.ConvTranspose2d(wide, narrow, kernel_size=4, stride=2, padding=1, bias=False)
    return nn.Sequential(upsampling, _norm_and_leak(narrow))


def _interpolated(wide: int, narrow: int) -> nn.Sequential:
    upsampling = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(upsampling, nn.Conv2d(wide, narrow, 3, padding=1, bias=False), _norm_and_leak(narrow))


def _norm_and_leak(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(LEAK, inplace=True))


def save_snapshot(generator: Generator, epoch: int, path: Path) -> None:
    """Write the generator and what is needed to build it again, atomically."""
    buffer = io.BytesIO()
    state = {key: value.detach().cpu() for key, value in generator.state_dict().items()}
    snapshot = {
        "format": SNAPSHOT_FORMAT,
        "epoch": epoch,
        "size": generator.size,
        "latent_dim": generator.latent_dim,
        "channels": generator.channels,
        "upsampling": generator.upsampling,
        "state_dict": state,
    }
    torch.save(snapshot, buffer)
    storage.write_bytes(str(path), buffer.getvalue())


def load_generator(path: Path) -> Generator:
    """Generator of a snapshot, in eval mode on the CPU.

    Raises FileNotFoundError where there is none, ValueError for a file that is not a snapshot of this format.
    """
    content = storage.read_bytes(str(path))
    try:
        snapshot = read_saved(io.BytesIO(content))
        upsampling = _upsampling(snapshot)
        shape = (snapshot["size"], snapshot["latent_dim"], snapshot["channels"], upsampling)
        with torch.device("meta"):
            require_shapes(Generator(*shape).state_dict(), snapshot["state_dict"])
    except OUT_OF_MEMORY:
        raise
    except Exception as error:
        text = f"it has no field {error}" if isinstance(error, KeyError) else str(error)
        reason = " ".join(text.split())[:300]
        raise ValueError(f"path={str(path)!r}: no generator snapshot ({reason}); make it again") from error
    generator = Generator(*shape)  # of a file that fits: what fails from here on is no fault of it
    generator.load_state_dict(snapshot["state_dict"])
    return generator.eval()


def _upsampling(snapshot: dict[str, Any]) -> Any:  # noqa: ANN401  (whatever the file holds; the generator checks it)
    if snapshot["format"] == 1:
        return UPSAMPLING_OF_FORMAT_1[snapshot.get("doubling", "transposed")]
    if snapshot["format"] != SNAPSHOT_FORMAT:
        raise ValueError(f"it has format {snapshot['format']}, not {SNAPSHOT_FORMAT}")
    return snapshot["upsampling"]


def draw_latents(count: int, latent_dim: int, seed: int) -> Tensor:
    """Z (count, latent_dim), float32, on the CPU; row i depends on the seed and i alone, not on ``count``."""
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(latent_dim, generator=rng) for _ in range(count)])


@torch.no_grad()
@float32_convolutions()
def sample(generator: Generator, count: int, seed: int, batch_size: int = 64) -> Tensor:
    """``count`` images, uint8, (count, 1, H, W), on the CPU; the same for every ``batch_size``.

    The generator runs in eval mode, so that no image depends on its neighbours, and is left as it was.
    Raises ValueError for fewer than one image.
    """
    if count < 1:
        raise ValueError(f"count={count!r}: ask for at least 1 image")
    device = next(generator.parameters()).device
    was_training = generator.training
    generator.eval()
    try:
        z = draw_latents(count, generator.latent_dim, seed)
        return torch.cat([to_uint8(generator(part.to(device))).cpu() for part in z.split(batch_size)])
    finally:
        generator.train(was_training)


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] floats to uint8 by rounding; the inverse of ``to_float``."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """Uint8 images to float32 in [-1, 1]: (x - 127.5) / 127.5."""
    return images.float().sub(127.5).div(127.5)
