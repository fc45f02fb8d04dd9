"""The report's pictures: the paper's Fig. 5 (metrics over epochs) and Fig. 6 (samples over epochs), and the losses."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mammogan import numbers
from mammogan.config import lambda_text
from mammogan.records import RunRecord, TrialRecord
from mammogan.reporting import quantities
from mammogan.results import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by colour-blind readers, and in grey by their lightness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
INK, PALE = "#222222", "#8a8a8a"
DOTS_PER_INCH = 150
FAR = 1.5
"""Ranges of the later epochs by which a value may lie outside of them and still be reached."""
SMALLEST_RANGE = 0.02
"""Least range of the later epochs as a share of their size, so that a still curve has a panel too."""
MARGIN = 0.05
MOST_COLUMNS = 11
"""Columns of Fig. 6: epoch 1 and every 100th to 1000 in the paper."""


@dataclass(frozen=True)
class Column:
    """One of the paper's six metrics."""

    title: str
    metric: str
    pairing: str


def columns(against: str) -> tuple[Column, ...]:
    """The paper's six metrics in its order; KID and FID against the ``train`` or ``validation`` reals."""
    return (
        Column("KID", "kid", against),
        Column("FID", "fid", against),
        Column("LPIPS real-fake", "lpips", "real_fake"),
        Column("LPIPS fake-fake", "lpips", "fake_fake"),
        Column("MS-SSIM real-fake", "ms_ssim", "real_fake"),
        Column("MS-SSIM fake-fake", "ms_ssim", "fake_fake"),
    )


def measures(trial: TrialRecord, column: Column) -> dict[int, Measurement]:
    """Epoch to the trial's measurement of one metric, by epoch."""
    measured = trial.evaluation.of(column.metric, column.pairing) if trial.evaluation else []
    return dict(sorted((item.epoch, item) for item in measured if item.epoch is not None))


def by_lambda(record: RunRecord) -> dict[float, list[TrialRecord]]:
    """Trials of each gradient-penalty weight, ascending."""
    groups: dict[float, list[TrialRecord]] = {}
    for trial in sorted(record.trials, key=lambda item: (item.trial.gp_lambda, item.trial.seed)):
        groups.setdefault(trial.trial.gp_lambda, []).append(trial)
    return groups


def metrics_figure(record: RunRecord, against: str) -> bytes | None:
    """PNG of six panels over epochs: a line per lambda, interval bands, real-real references dashed; None without data.

    A lambda's line is the mean of its seeds. The band is the interval of a single seed, else the range of the seeds. A
    panel's range is that of the later epochs (``viewport``).
    """
    panels = columns(against)
    groups = by_lambda(record)
    if not any(measures(trial, panel) for group in groups.values() for trial in group for panel in panels):
        return None
    figure, axes = _canvas(3, 2, height=9.0)
    for letter, panel, axis in zip("abcdef", panels, axes, strict=True):
        bands = [
            band(f"λ = {lambda_text(each)}", [measures(trial, panel) for trial in group])
            for each, group in groups.items()
        ]
        _draw_bands(axis, bands, _reference(record.trials, panel))
        title = (
            f"{panel.title} ({quantities.images_of(panel.pairing)})" if panel.metric in ("kid", "fid") else panel.title
        )
        axis.set_title(f"({letter})  {title}", loc="left", fontsize=10.5, color=INK)
    _share_legend(figure, axes[0])
    return _png(figure)


@dataclass(frozen=True)
class Band:
    """A line over the epochs with its interval or range."""

    label: str
    epochs: tuple[int, ...]
    centre: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Viewport:
    """What a panel shows of its values, lowest and highest."""

    low: float
    high: float


def band(label: str, seeds: Sequence[Mapping[int, Measurement]]) -> Band:
    """The line of one lambda: its seed's values and intervals, or the mean and range of several seeds."""
    epochs = sorted(set().union(*seeds))
    centre, low, high = [], [], []
    for epoch in epochs:
        measurements = [seed[epoch] for seed in seeds if epoch in seed]
        values = [item.value for item in measurements]
        centre.append(float(np.mean(values)))
        ends = (measurements[0].low, measurements[0].high) if len(measurements) == 1 else (min(values), max(values))
        low.append(centre[-1] if ends[0] is None else ends[0])
        high.append(centre[-1] if ends[1] is None else ends[1])
    return Band(label, tuple(epochs), tuple(centre), tuple(low), tuple(high))


def viewport(bands: Sequence[Band], reference: float | None = None) -> Viewport | None:
    """The range of a panel: that of the later half of its epochs and the reference, and what is not far beyond it.

    Epoch 1 of a training is often hundreds of times what follows and would flatten all the rest to a line. A value more
    than ``FAR`` such ranges away is left outside, to be marked at the edge. None where there is no value.
    """
    last = max((epoch for item in bands for epoch in item.epochs), default=0)
    points = [point for item in bands for point in zip(item.epochs, item.centre, item.low, item.high, strict=True)]
    later = [value for epoch, *values in points if epoch >= last / 2 for value in values]
    later += [] if reference is None else [reference]
    if not points:
        return None
    low, high = min(later), max(later)
    reach = FAR * max(high - low, SMALLEST_RANGE * max(abs(low), abs(high)))
    near = [value for _, centre, *ends in points if low - reach <= centre <= high + reach for value in (centre, *ends)]
    shown = [min(max(value, low - reach), high + reach) for value in (*near, low, high)]
    margin = MARGIN * (max(shown) - min(shown)) or 1.0
    return Viewport(min(shown) - margin, max(shown) + margin)


def _draw_bands(axis: Axes, bands: Sequence[Band], reference: float | None = None) -> None:
    for number, item in enumerate(bands):
        if not item.epochs:
            continue
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axis.fill_between(item.epochs, item.low, item.high, color=colour, alpha=0.13, linewidth=0)
        axis.plot(item.epochs, item.centre, color=colour, marker=marker, markersize=4, linewidth=1.5, label=item.label)
    if reference is not None:
        axis.axhline(reference, color=PALE, linestyle=(0, (5, 3)), linewidth=1.2, label="real against real")
    if view := viewport(bands, reference):
        axis.set_ylim(view.low, view.high)
        for number, item in enumerate(bands):
            _mark_beyond(axis, item, view, number)


def _mark_beyond(axis: Axes, item: Band, view: Viewport, number: int) -> None:
    """An arrow at the edge with the value, for each point that the panel does not reach."""
    beyond = [
        (epoch, value)
        for epoch, value in zip(item.epochs, item.centre, strict=True)
        if not view.low <= value <= view.high
    ]
    colour = COLOURS[number % len(COLOURS)]
    for epoch, value in beyond:
        above = value > view.high
        edge = view.high if above else view.low
        axis.plot([epoch], [edge], marker="^" if above else "v", color=colour, markersize=7, clip_on=False, zorder=5)
        line = (11 * number + 4) * (-1 if above else 1)
        words, align = numbers.typeset(numbers.number(value)), "top" if above else "bottom"
        axis.annotate(
            words, (epoch, edge), (7, line), textcoords="offset points", va=align, color=colour, fontsize=7.5,
            bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0},
        )  # fmt: skip


def _reference(trials: Sequence[TrialRecord], panel: Column) -> float | None:
    references = [item.reference for trial in trials for item in measures(trial, panel).values()]
    known = [reference for reference in references if reference is not None]
    return float(np.mean(known)) if known else None


def losses_figure(record: RunRecord) -> bytes | None:
    """PNG of the critic's estimate, its gradient norm and the generator's loss over epochs; None without data."""
    panels = {
        "train/wasserstein": "Wasserstein estimate",
        "train/gradient_norm": "Critic's gradient norm",
        "train/generator_loss": "Generator's loss",
    }
    if not any(trial.history.get(key) for trial in record.trials for key in panels):
        return None
    figure, axes = _canvas(1, 3, height=2.9)
    for (key, title), axis in zip(panels.items(), axes, strict=True):
        lines = []
        for number, (gp_lambda, group) in enumerate(by_lambda(record).items()):
            for trial in group:
                label = f"λ = {lambda_text(gp_lambda)}" if trial is group[0] else ""
                lines.append(curve(label, trial.history.get(key, [])))
                if lines[-1].epochs:
                    colour = COLOURS[number % len(COLOURS)]
                    axis.plot(lines[-1].epochs, lines[-1].centre, color=colour, linewidth=1.2, label=label or None)
        if view := viewport(lines):
            axis.set_ylim(view.low, view.high)
        axis.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes[1].axhline(1.0, color=PALE, linestyle=(0, (5, 3)), linewidth=1.2)
    _share_legend(figure, axes[0])
    return _png(figure)


def curve(label: str, points: Sequence[tuple[int, float]]) -> Band:
    """A line of single values, (epoch, value) each."""
    epochs, values = tuple(epoch for epoch, _ in points), tuple(value for _, value in points)
    return Band(label, epochs, values, values, values)


def comparison_figure(records: Sequence[RunRecord]) -> bytes:
    """PNG of KID and FID (train reals) over epochs, a line for each trial of each run."""
    figure, axes = _canvas(1, 2, height=4.0)
    trials = [(record, trial) for record in records for trial in record.trials]
    for axis, column in zip(axes, columns("train"), strict=False):
        bands = [band(f"{record.name}: {trial.trial.name}", [measures(trial, column)]) for record, trial in trials]
        _draw_bands(axis, bands)
        axis.set_title(column.title, loc="left", fontsize=10.5, color=INK)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return _png(figure)


def samples_figure(record: RunRecord, size: int) -> bytes | None:
    """PNG of samples over epochs, a row per lambda (its first seed); None where no grid was logged.

    ``size`` is the side of one image: each cell is the first image of a grid, the same z everywhere.
    """
    rows = {gp_lambda: group[0].grids for gp_lambda, group in by_lambda(record).items() if group[0].grids}
    if not rows:
        return None
    epochs = thinned(sorted(set().union(*rows.values())), MOST_COLUMNS)
    from matplotlib.figure import Figure

    side = 9.0 / len(epochs) if len(epochs) > 4 else 1.6
    figure = Figure(figsize=(0.7 + side * len(epochs), 0.35 + (side + 0.06) * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(epochs), squeeze=False)
    for (gp_lambda, grids), line in zip(rows.items(), axes, strict=True):
        for epoch, axis in zip(epochs, line, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if epoch in grids:
                axis.imshow(first_tile(grids[epoch], size), cmap="gray", vmin=0, vmax=255)
            if axis is line[0]:
                axis.set_ylabel(f"λ = {lambda_text(gp_lambda)}", fontsize=9, color=INK)
            if line is axes[0] or gp_lambda == next(iter(rows)):
                axis.set_title(f"epoch {epoch}" if epoch == epochs[0] else f"{epoch}", fontsize=9, color=INK)
    return _png(figure)


def first_tile(grid: bytes, size: int) -> np.ndarray:
    """The top left image (size, size), uint8, of a grid's PNG."""
    from mammogan.data import picture

    return picture.decode(grid)[:size, :size]


def thinned(values: Sequence[int], most: int) -> list[int]:
    """At most ``most`` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _canvas(rows: int, wide: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, height), layout="constrained")
    axes = list(figure.subplots(rows, wide, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(PALE)
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8.5, colors="#444444", length=3)
        axis.locator_params(axis="x", integer=True)
    for axis in axes[-wide:]:
        axis.set_xlabel("epoch", fontsize=9, color=INK)
    return figure, axes


def _share_legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9.5)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()
