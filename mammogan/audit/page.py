"""The synthetic images most like copies, with or without the real ones beside them, and the page of an audit."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from mammogan.records import CLOSEST, PAIRS, REALS, Findings
from mammogan.reporting import findings
from mammogan.results import Audit, ClosestPair
from mammogan.training import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = "audit.html"
INK = "#222222"
NAME_LINE = 14
"""Characters of a pseudonym in a line below its picture."""


def pictures(closest: Sequence[ClosestPair], fakes: Tensor, train: Tensor | None) -> dict[str, bytes]:
    """The figure of the pairs by its name: ``closest`` without real images, or ``pairs`` with those of ``train``.

    In that case also ``reals``, a sample of them to stand beside the generator's.
    """
    if train is None:
        return {CLOSEST: pairs_figure(closest, fakes, None)}
    return {PAIRS: pairs_figure(closest, fakes, train), REALS: sample_of(train)}


def sample_of(images: Tensor) -> bytes:
    """PNG of at most 8x4 of the uint8 images (N, 1, H, W), evenly taken, as a generator's samples are laid out."""
    count = min(len(images), grid.COLUMNS * grid.ROWS)
    chosen = torch.linspace(0, len(images) - 1, count).round().long()
    buffer = io.BytesIO()
    Image.fromarray(grid.tile(images[chosen], grid.COLUMNS).numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def pairs_figure(closest: Sequence[ClosestPair], fakes: Tensor, train: Tensor | None) -> bytes:
    """PNG of the pairs (indices into uint8 ``fakes`` and ``train``): for each space fakes above their nearest reals.

    Without ``train`` the pseudonyms of these stand in their place.
    """
    from matplotlib.figure import Figure

    spaces = list(dict.fromkeys(pair.space for pair in closest))
    wide = max(sum(pair.space == space for pair in closest) for space in spaces)
    rows = 1 if train is None else 2
    figure = Figure(figsize=(1.35 * wide + 0.4, (0.5 + 1.3 * rows) * len(spaces)), layout="constrained")
    axes = figure.subplots(rows * len(spaces), wide, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row, space in enumerate(spaces):
        for column, pair in enumerate(pair for pair in closest if pair.space == space):
            above = axes[rows * row][column]
            _show(above, fakes[pair.fake, 0])
            above.set_title(f"{pair.ratio:.2f}", fontsize=9, color=INK)
            if train is None:
                above.set_xlabel(_lines(pair.train_image), fontsize=6, color=INK)
            else:
                _show(axes[rows * row + 1][column], train[pair.train, 0])
        axes[rows * row][0].set_ylabel(f"{space}\nsynthetic", fontsize=8.5, color=INK)
        if train is not None:
            axes[rows * row + 1][0].set_ylabel("nearest real", fontsize=8.5, color=INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _show(axis: Axes, image: Tensor) -> None:
    axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=255)


def _lines(name: str) -> str:
    return "\n".join(name[start : start + NAME_LINE] for start in range(0, len(name), NAME_LINE))


def render(result: Audit, shown: Mapping[str, bytes]) -> bytes:
    """Self-contained HTML page of an audit's result with its figures by their names."""
    return findings.page("Privacy audit", Findings(audit=result, pictures=shown), real_images=PAIRS in shown)
