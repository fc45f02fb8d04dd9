"""Ways in which a copy of an image may be moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Move = Callable[[Tensor, np.random.Generator], Tensor]
"""One image (1, H, W), float32, grey values, to another."""


def shifted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by an eighth of the side along one axis, at most so much along the other; rolled or its edge repeated."""
    most = round(image.shape[-1] / 8)
    shift = rng.permutation([most, int(rng.integers(0, most + 1))]) * rng.choice([-1, 1], 2)
    if rng.random() < 0.5:
        return image.roll((int(shift[0]), int(shift[1])), (-2, -1))
    padded = functional.pad(image[None], (most,) * 4, mode="replicate")[0]
    row, column = (most + shift).tolist()
    return padded[:, row : row + image.shape[-2], column : column + image.shape[-1]]


def mirrored(image: Tensor, rng: np.random.Generator) -> Tensor:
    """One of the seven other symmetries of the square."""
    number = int(rng.integers(1, 8))
    image = image.transpose(-1, -2) if number & 4 else image
    image = image.flip(-1) if number & 1 else image
    return image.flip(-2) if number & 2 else image


def brightened(image: Tensor, rng: np.random.Generator) -> Tensor:
    """40 grey values brighter or darker."""
    return image + 40 * float(rng.choice([-1, 1]))


def contrasted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Half or one and a half times the contrast."""
    return (image - image.mean()) * float(rng.choice([0.5, 1.5])) + image.mean()


def cropped(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Cropped to 90% of the side anywhere, and enlarged."""
    side = round(0.9 * image.shape[-1])
    row, column = rng.integers(0, image.shape[-1] - side + 1, 2).tolist()
    part = image[None, :, row : row + side, column : column + side]
    return functional.interpolate(part, size=image.shape[-2:], mode="bicubic", align_corners=False)[0]


def turned(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Turned by 3 to 10 degrees either way."""
    angle = np.deg2rad(rng.uniform(3, 10)) * rng.choice([-1, 1])
    matrix = torch.tensor([[[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]]).float()
    grid = functional.affine_grid(matrix, [1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]


def noisy(deviation: float) -> Move:
    """Noise of a deviation in grey values."""
    return lambda image, rng: image + torch.from_numpy(rng.normal(scale=deviation, size=image.shape)).float()


def inverted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """White for black, as the other photometric interpretation has it, half of them mirrored too."""
    return 255 - (image.flip(-1) if rng.random() < 0.5 else image)


def everything(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Cropped, mirrored, brightened, of less contrast and noisy, one after the other."""
    for move in (cropped, mirrored, contrasted, brightened, noisy(10)):
        image = move(image, rng)
    return image


KINDS: dict[str, Move] = {
    "shifted by 12.5%": shifted,
    "mirrored or turned by 90 degrees": mirrored,
    "brightness 40 up or down": brightened,
    "contrast 0.5 or 1.5": contrasted,
    "cropped to 90%": cropped,
    "noise 10": noisy(10),
    "noise 30": noisy(30),
    "turned by 3 to 10 degrees": turned,
    "inverted, mirrored or not": inverted,
    "cropped, mirrored, contrast, brightness and noise 10": everything,
}
