"""Multi-scale structural similarity over pairs of images (MS-SSIM, Wang et al. 2003).

MS-SSIM(x, y) = l_5^w5 * prod over scales j of cs_j^wj, with an 11 x 11 Gaussian window of sigma 1.5, K = (0.01, 0.03),
a data range of 1, windows wholly inside the image and 2 x 2 averages between scales, as pytorch-msssim computes it.
Local means and variances belong to an image, not to a pair: each is computed once for all pairs of a chunk that use
the image, so that a pair costs one blur (of x * y) a scale instead of five.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mammogan.allocator import give_back
from mammogan.device import float32_convolutions
from mammogan.image_tensors import enlarged
from mammogan.statistics import Floats, Ints

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
SMALLEST_SIDE = (WINDOW - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""161: below, the coarsest scale is smaller than the window."""
ENLARGED_SIDE = 224
PAIRS_AT_ONCE = {"cpu": 8, "cuda": 256}
"""By the kind of device: few stay in a core's cache, and few leave most of a GPU idle."""


@torch.inference_mode()
@float32_convolutions()
def ms_ssim(x: Tensor, y: Tensor, left: Ints, right: Ints, device: torch.device) -> Floats:
    """MS-SSIM (P,) in [0, 1] of the pairs (x[left[p]], y[right[p]]), computed on ``device``.

    ``x`` (N, 1, H, W) and ``y`` (M, 1, H, W) are uint8; 1 means equal.
    """
    values = np.empty(len(left))
    # neighbours in this order share their left image
    order = np.argsort(left, kind="stable")
    at_once = PAIRS_AT_ONCE.get(device.type, PAIRS_AT_ONCE["cpu"])
    for first in range(0, len(order), at_once):
        chunk = order[first : first + at_once]
        x_used, x_at = torch.from_numpy(left[chunk]).unique(return_inverse=True)
        y_used, y_at = torch.from_numpy(right[chunk]).unique(return_inverse=True)
        pixels = (
            enlarged(images[used].to(device).float() / 255, SMALLEST_SIDE, ENLARGED_SIDE)
            for images, used in ((x, x_used), (y, y_used))
        )
        values[chunk] = similarity(*pixels, x_at.to(device), y_at.to(device)).double().cpu().numpy()
    give_back()
    return values


def similarity(x: Tensor, y: Tensor, x_at: Tensor, y_at: Tensor) -> Tensor:
    """MS-SSIM (P,) of the pairs (x[x_at[p]], y[y_at[p]]) of floats (N, 1, H, W), [0, 1], sides from 161."""
    result = x.new_ones(len(x_at))
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            x, y = _halved(x), _halved(y)
        x_moments, y_moments = _moments(x), _moments(y)
        similar = _contrast(x_moments, y_moments, x_at, y_at)
        if scale == len(WEIGHTS) - 1:
            similar *= _luminance(x_moments.mean[x_at], y_moments.mean[y_at])
        result *= similar.mean(dim=(-2, -1)).relu() ** weight
    return result


class _Moments(NamedTuple):
    """Local statistics of images (N, 1, H, W) under the window."""

    centred: Tensor
    """(N, 1, H, W): without the image's mean, whose square would drown small variances in rounding."""
    blurred: Tensor
    """(N, h, w): local mean of ``centred``."""
    mean: Tensor
    """(N, h, w): local mean of the image."""
    variance: Tensor
    """(N, h, w)."""


def _moments(x: Tensor) -> _Moments:
    centre = x.mean(dim=(-3, -2, -1), keepdim=True)
    centred = x - centre
    blurred = _blur(centred)
    return _Moments(centred, blurred, blurred + centre[:, 0], _blur(centred**2) - blurred**2)


def _contrast(x: _Moments, y: _Moments, x_at: Tensor, y_at: Tensor) -> Tensor:
    """Contrast and structure (P, h, w) of the pairs at one scale."""
    covariance = _blur(x.centred[x_at] * y.centred[y_at]) - x.blurred[x_at] * y.blurred[y_at]
    return (2 * covariance + C2) / (x.variance[x_at] + y.variance[y_at] + C2)


def _luminance(x_mean: Tensor, y_mean: Tensor) -> Tensor:
    return (2 * x_mean * y_mean + C1) / (x_mean**2 + y_mean**2 + C1)


def _blur(x: Tensor) -> Tensor:
    """(N, 1, H, W) -> (N, H - 10, W - 10), separable; the images are laid out as channels, which is much faster."""
    offsets = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window = (window / window.sum()).expand(len(x), 1, WINDOW)
    channels = x.transpose(0, 1)
    columns = functional.conv2d(channels, window[..., None], groups=len(x))
    return functional.conv2d(columns, window[:, :, None], groups=len(x))[0]


def _halved(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, kernel_size=2, padding=[side % 2 for side in x.shape[-2:]])
