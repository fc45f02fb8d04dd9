"""How alike two pictures are, wherever and however one lies on the other: normalised cross-correlation under moves.

A *move* mirrors, turns and scales a reference and shifts it: the eight symmetries of the square, scales from 0.89 to
1.12, turns by up to 10 degrees either way and shifts by up to an eighth of the side, in all combinations. A picture is
first brought to a local contrast

    y = (x - G x) / (sqrt(G (x - G x)^2) + c),    G a Gaussian of a 14th of the side,

so that neither brightness nor contrast counts, nor the slow shades that all breasts share. An inverted picture has the
opposite one, so that of correlations the absolute value counts. The *coarse* search compares
the middle of every moved reference with every window of a query at 28 px, which is a matrix product; the *fine* one
refines a pair at 56 px by the masked normalised cross-correlation of Padfield (2012, IEEE Trans. Image Processing 21),
equations 28 to 32, in Fourier space, so that only what both pictures show is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FINE, COARSE = 56, 28
"""Sides in pixels at which pictures are compared."""
SMOOTHING = 1 / 14
"""Deviation of the local Gaussian, as a share of the side."""
FLOOR, FLOOR_GREY = 0.25, 0.5
"""The constant c: this share of the picture's own detail, and what rounding to 256 grey values leaves."""
SHIFT = 4
"""Coarse pixels of the largest shift: 14% of the side."""
WINDOW = COARSE - 2 * SHIFT
SCALES, ANGLES = (0.925, 1.0, 1.08), (-7.0, 0.0, 7.0)
"""Of the coarse search; degrees."""
SYMMETRIES = 8
SCALE_STEPS, ANGLE_STEPS = (0.97, 1.0, 1.03), (-3.5, 0.0, 3.5)
"""Of the fine search, about what the coarse one found."""
FINE_SHIFT = 8
"""Pixels at 56 px; with the side they make 64, a good length of a Fourier transform."""
LEAST_OVERLAP = 0.4
"""Share of a picture that both must show."""
FLAT = 0.1
"""Norm of the local contrast, some tens in an image, below which it is what rounding leaves of a flat one."""
EDGE = 2
"""Fine pixels at a reference's border whose local contrast rests on what is beyond it."""
AT_ONCE = 8
"""Queries of which all products with the templates are in memory: 0.2 MB a reference."""
VARIANTS = len(SCALES) * len(ANGLES) * SYMMETRIES


@dataclass(frozen=True)
class Pictures:
    """Pictures ready to be compared."""

    shown: Tensor
    """(N, 1, 56, 56), float32, grey values in [0, 255]."""
    detail: Tensor
    """Their local contrast, of the same shape."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.shown)


def prepare(images: Tensor, device: torch.device) -> Pictures:
    """Pictures of uint8 images (N, 1, H, W) on a device."""
    parts = []
    for part in images.split(256):
        given = part.to(device, torch.float32)
        given = functional.interpolate(given, size=(FINE, FINE), mode="bilinear", antialias=True, align_corners=False)
        parts.append(given)
    shown = torch.cat(parts) if parts else torch.empty(0, 1, FINE, FINE, device=device)
    return Pictures(shown, local_contrast(_blurred(shown, 1.0)))


def local_contrast(images: Tensor) -> Tensor:
    """Local contrast of float images (N, 1, S, S), as the module's description gives it; of a flat image about 0."""
    deviation = SMOOTHING * images.shape[-1]
    detail = images - _blurred(images, deviation)
    local = _blurred(detail.square(), deviation).clamp(min=0).sqrt()
    own = detail.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return detail / (local + FLOOR * own + FLOOR_GREY)


def _blurred(images: Tensor, deviation: float) -> Tensor:
    radius = math.ceil(3 * deviation)
    line = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-line.square() / (2 * deviation**2))
    weights = weights / weights.sum()
    padded = functional.pad(images, (radius,) * 4, mode="replicate") if len(images) else images
    if not len(images):
        return images
    rows = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return functional.conv2d(rows, weights.view(1, 1, -1, 1))


def coarse_windows(pictures: Pictures) -> Tensor:
    """Every window (N, 81, 400) of the coarse pictures, of mean 0 and norm 1."""
    detail = local_contrast(functional.avg_pool2d(pictures.shown, FINE // COARSE))
    return _unit(functional.unfold(detail, WINDOW).transpose(1, 2))


def coarse_templates(pictures: Pictures) -> Tensor:
    """The middle (N, 72, 400) of each picture under every scale, turn and symmetry, of mean 0 and norm 1."""
    variants = []
    for scale in SCALES:
        for angle in ANGLES:
            moved = _moved(pictures.shown, torch.tensor([scale]), torch.tensor([angle]), "reflection")
            detail = local_contrast(functional.avg_pool2d(moved, FINE // COARSE))
            middle = detail[..., SHIFT:-SHIFT, SHIFT:-SHIFT]
            variants += [_symmetric(middle, number).flatten(1) for number in range(SYMMETRIES)]
    return _unit(torch.stack(variants, dim=1))


def _unit(vectors: Tensor) -> Tensor:
    centred = vectors - vectors.mean(dim=-1, keepdim=True)
    return centred / centred.norm(dim=-1, keepdim=True).clamp(min=FLAT)


def _symmetric(images: Tensor, number: int) -> Tensor:
    """Images under the symmetry 0 to 7 of the square: bit 2 transposes, bit 0 mirrors, bit 1 turns upside down."""
    images = images.transpose(-1, -2) if number & 4 else images
    images = images.flip(-1) if number & 1 else images
    return images.flip(-2) if number & 2 else images


def _moved(images: Tensor, scales: Tensor, angles: Tensor, beyond: str) -> Tensor:
    """Images (N, C, S, S) enlarged by ``scales`` and turned by ``angles``, in degrees; of each N or one for all."""
    radians = torch.deg2rad(angles)
    cos, sin, zero = torch.cos(radians) / scales, torch.sin(radians) / scales, torch.zeros_like(radians)
    matrix = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
    matrix = matrix.to(images.device, images.dtype).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=beyond, align_corners=False)


def coarse(windows: Tensor, templates: Tensor) -> Tensor:
    """The largest correlation (M, N) over all moves of queries' windows (M, 81, 400) with templates (N, 72, 400).

    By absolute value, as that of ``fine`` is.
    """
    count, size = len(templates), templates.shape[-1]
    flat = templates.reshape(-1, size).T.contiguous()
    rows = []
    for part in windows.split(AT_ONCE):
        products = (part.reshape(-1, size) @ flat).view(len(part), -1, flat.shape[1])
        rows.append(products.abs_().amax(dim=1).view(len(part), count, VARIANTS).amax(dim=2))
    return torch.cat(rows)


def fine(queries: Pictures, references: Pictures, windows: Tensor, templates: Tensor) -> Tensor:
    """The largest correlation (P,) of each query with the reference in the same place, near the best coarse move.

    ``windows`` (P, 81, 400) and ``templates`` (P, 72, 400) are those of the pairs.
    """
    best = torch.bmm(windows, templates.transpose(1, 2)).abs().amax(dim=1).argmax(dim=1)
    symmetry = best % SYMMETRIES
    scales = torch.tensor(SCALES)[(best // (SYMMETRIES * len(ANGLES))).cpu()]
    angles = torch.tensor(ANGLES)[(best // SYMMETRIES % len(ANGLES)).cpu()]
    shown = torch.stack(
        [_symmetric(image, int(number)) for image, number in zip(references.detail, symmetry, strict=True)]
    )
    # mirroring turns the other way round: the move is made before the symmetry, and so is its turn
    turned = torch.where((_determinant(symmetry) < 0).cpu(), -angles, angles)
    inside = torch.ones_like(shown)
    inside[..., :EDGE, :] = inside[..., -EDGE:, :] = 0
    inside[..., :, :EDGE] = inside[..., :, -EDGE:] = 0
    scale_steps, angle_steps = torch.cartesian_prod(torch.tensor(SCALE_STEPS), torch.tensor(ANGLE_STEPS)).T
    steps = len(scale_steps)
    both = torch.cat([shown, inside], dim=1).repeat_interleave(steps, dim=0)
    all_scales = (scales[:, None] * scale_steps).flatten()
    all_angles = (turned[:, None] + angle_steps).flatten()
    moved = _moved(both, all_scales, all_angles, "zeros").view(len(shown), steps, 2, FINE, FINE)
    mask = (moved[:, :, 1] > 0.999).float()
    return _masked_correlation(queries.detail, moved[:, :, 0] * mask, mask).abs().amax(dim=(1, 2, 3))


def _determinant(symmetry: Tensor) -> Tensor:
    """-1 where a symmetry mirrors, 1 where it turns."""
    flips = (symmetry & 1) + (symmetry >> 1 & 1) + (symmetry >> 2 & 1)
    return 1 - 2 * (flips % 2)


def _masked_correlation(queries: Tensor, moved: Tensor, mask: Tensor) -> Tensor:
    """Correlations (P, V, 17, 17) by shift of queries (P, 1, S, S) with references (P, V, S, S), 0 outside ``mask``."""
    size = FINE + FINE_SHIFT

    def spectrum(images: Tensor) -> Tensor:
        return torch.fft.rfft2(images, s=(size, size))

    def correlated(left: Tensor, right: Tensor) -> Tensor:
        whole = torch.fft.irfft2(left * right.conj(), s=(size, size))
        return whole.roll((FINE_SHIFT, FINE_SHIFT), (-2, -1))[..., : 2 * FINE_SHIFT + 1, : 2 * FINE_SHIFT + 1]

    query, squares, whole = spectrum(queries), spectrum(queries.square()), spectrum(torch.ones_like(queries[:1]))
    reference, reference_squares, inside = spectrum(moved), spectrum(moved.square()), spectrum(mask)
    pixels = correlated(whole, inside).clamp(min=1)
    of_query, of_reference = correlated(query, inside), correlated(whole, reference)
    product = correlated(query, reference) - of_query * of_reference / pixels
    spread = (correlated(squares, inside) - of_query.square() / pixels).clamp(min=0)
    spread = spread * (correlated(whole, reference_squares) - of_reference.square() / pixels).clamp(min=0)
    enough = (pixels >= LEAST_OVERLAP * FINE**2) & (spread > FLAT)
    return torch.where(enough, product / spread.clamp(min=FLAT).sqrt(), torch.zeros_like(product))
