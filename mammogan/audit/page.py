"""The closest pairs side by side, and the page of an audit."""

from __future__ import annotations

import io
from collections.abc import Sequence

from torch import Tensor

from mammogan.records import Findings
from mammogan.reporting import findings
from mammogan.results import Audit, ClosestPair

PAIRS = "pairs.png"
PAGE = "audit.html"
INK = "#222222"


def pairs_figure(closest: Sequence[ClosestPair], fakes: Tensor, train: Tensor) -> bytes:
    """PNG of the pairs (indices into uint8 ``fakes`` and ``train``): for each space fakes above their nearest reals."""
    from matplotlib.figure import Figure

    spaces = list(dict.fromkeys(pair.space for pair in closest))
    wide = max(sum(pair.space == space for pair in closest) for space in spaces)
    figure = Figure(figsize=(1.35 * wide + 0.4, 3.1 * len(spaces)), layout="constrained")
    axes = figure.subplots(2 * len(spaces), wide, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row, space in enumerate(spaces):
        for column, pair in enumerate(pair for pair in closest if pair.space == space):
            above, below = axes[2 * row][column], axes[2 * row + 1][column]
            above.imshow(fakes[pair.fake, 0].numpy(), cmap="gray", vmin=0, vmax=255)
            below.imshow(train[pair.train, 0].numpy(), cmap="gray", vmin=0, vmax=255)
            above.set_title(f"{pair.ratio:.2f}", fontsize=9, color=INK)
        axes[2 * row][0].set_ylabel(f"{space}\nsynthetic", fontsize=8.5, color=INK)
        axes[2 * row + 1][0].set_ylabel("nearest real", fontsize=8.5, color=INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def render(result: Audit, pairs: bytes) -> bytes:
    """Self-contained HTML page of an audit's result."""
    return findings.page("Privacy audit", Findings(audit=result, pictures={"pairs": pairs}))
