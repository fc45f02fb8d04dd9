"""The study's figures: effects with their intervals, AUC over the share of synthetic images, and calibration."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mammogan.results import Utility
from mammogan.utility.arms import AUGMENTED, BOTH, OVERSAMPLED, REAL, SYNTHETIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, BLUE = "#222222", "#8a8a8a", "#0072B2"
CALIBRATED = {REAL: PALE, OVERSAMPLED: "#D55E00", AUGMENTED: "#E69F00", SYNTHETIC: BLUE, BOTH: "#009E73"}
"""Arms of the calibration curve to their colour: what a reader would train."""


def effects_figure(result: Utility) -> bytes:
    """PNG of the differences from each arm's control, a panel for each metric, an arm for each line."""
    from matplotlib.figure import Figure

    arms = [arm for arm in result.arms if arm.control][::-1]
    figure = Figure(figsize=(9.4, 0.9 + 0.36 * len(arms)), layout="constrained")
    axes = figure.subplots(1, len(result.metrics), sharey=True, squeeze=False)[0]
    for metric, axis in zip(result.metrics, axes, strict=True):
        effects = {effect.arm: effect for effect in result.effects if effect.metric == metric.name}
        for height, arm in enumerate(arms):
            effect = effects[arm.name]
            axis.plot([effect.low, effect.high], [height, height], color=BLUE, linewidth=2)
            axis.plot(effect.value, height, "o", color=BLUE, markersize=5)
        axis.axvline(0, color=PALE, linewidth=1)
        axis.set_title(f"{metric.title} ({metric.aim} is better)", fontsize=8.5, color=INK)
        _plain(axis)
    axes[0].set_yticks(range(len(arms)), [f"{_plainly(arm.name)} against {_plainly(arm.control)}" for arm in arms])
    return _png(figure)


def curve_figure(result: Utility) -> bytes:
    """PNG of the AUC over the number of synthetic images that were added, with intervals and each seed."""
    from matplotlib.figure import Figure

    points = sorted((arm for arm in result.arms if arm.share is not None), key=lambda arm: arm.synthetic)
    aucs = {measure.arm: measure for measure in result.measures if measure.metric == "auc"}
    figure = Figure(figsize=(6.2, 3.3), layout="constrained")
    axis = figure.subplots()
    counts = [arm.synthetic for arm in points]
    measures = [aucs[arm.name] for arm in points]
    lows, highs = [m.low for m in measures], [m.high for m in measures]
    axis.fill_between(counts, lows, highs, color=BLUE, alpha=0.13)  # ty: ignore[invalid-argument-type]  (an AUC has both)
    axis.plot(counts, [measure.value for measure in measures], "o-", color=BLUE, linewidth=1.6)
    for count, measure in zip(counts, measures, strict=True):
        axis.plot([count] * len(measure.by_seed), measure.by_seed, ".", color=PALE, markersize=4)
    axis.set_xlabel("synthetic images added", fontsize=9, color=INK)
    axis.set_ylabel("AUC on new patients", fontsize=9, color=INK)
    _plain(axis)
    return _png(figure)


def calibration_figure(result: Utility) -> bytes:
    """PNG of the share of malignant images over the predicted probability, in tenths of the predictions, by arm."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle=(0, (5, 3)))
    for item in result.calibrations:
        if item.arm in CALIBRATED:
            predicted, observed = zip(*((group.predicted, group.observed) for group in item.bins), strict=True)
            axis.plot(predicted, observed, "o-", color=CALIBRATED[item.arm], markersize=3.5, linewidth=1.3,
                      label=_plainly(item.arm))  # fmt: skip
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.set_xlabel("predicted probability of malignant", fontsize=9, color=INK)
    axis.set_ylabel("share that is malignant", fontsize=9, color=INK)
    axis.legend(frameon=False, fontsize=8)
    _plain(axis)
    return _png(figure)


def _plainly(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8.5, colors="#444444", length=3)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
