"""The data card: one page and one picture that show what a data set holds, and how it compares with the paper's."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mammogan import storage
from mammogan.data import manifest, split, summary
from mammogan.data.dataset import Dataset
from mammogan.data.summary import Counts, MinoritySummary
from mammogan.results import Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = {"images": 1227, "benign": 718, "malignant": 509}
"""What the paper counts (Fig. 2a): subset calc-train; of its patients it says nothing."""
SHEET = (3, 8)
"""Rows and columns of a contact sheet."""
COLOURS = {"benign": "#0072B2", "malignant": "#D55E00"}


def write_card(folder: Path, out: Path) -> Path:
    """Write ``card.html``, self-contained, and ``card.png`` of a data set into ``out``; return the page's path.

    Raises as ``Dataset.read`` does, and ValueError for a data set that is not ingest's whole one.
    """
    from jinja2 import Environment, PackageLoader

    dataset, found = Dataset.read(folder), summary.read(folder)
    if isinstance(found, MinoritySummary):
        raise ValueError(f"dataset={str(folder)!r}: a minority class alone; give the data set that ingest wrote")
    picture = _png(draw(dataset))
    templates = Environment(autoescape=True, loader=PackageLoader("mammogan.reporting"))
    page = templates.get_template("card.html").render(
        summary=found,
        settings=vars(found.settings) if found.settings else {},
        columns=("images", "benign", "malignant", "patients"),
        rows=_rows(dataset),
        paper=PAPER,
        leak=split.leak(dataset.frame),
        picture=base64.b64encode(picture).decode(),
    )
    storage.write_bytes(str(out / "card.png"), picture)
    storage.write_bytes(str(out / "card.html"), page.encode())
    return out / "card.html"


def _rows(dataset: Dataset) -> list[tuple[str, Counts]]:
    return [(name, split.count(part.frame)) for name, part in [*_splits(dataset), ("all", dataset)]]


def _splits(dataset: Dataset) -> list[tuple[str, Dataset]]:
    """Train, validation where there is any, and test, by their names."""
    parts = {Role.TRAIN: dataset.train, Role.VALIDATION: dataset.validation, Role.TEST: dataset.test}
    return [(str(role), part) for role, part in parts.items() if len(part) or role is not Role.VALIDATION]


def draw(dataset: Dataset) -> Figure:
    """Class balance per split, grey values per class, and a contact sheet of each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 13), layout="constrained")
    top, *sheets = np.asarray(figure.subfigures(3, 1, height_ratios=[1, 1.4, 1.4])).tolist()
    balance, greys = top.subplots(1, 2)
    _draw_balance(balance, dataset)
    for label, name in enumerate(manifest.CLASSES):
        if len(of_class := dataset.of(label)):
            images = of_class.images()[:, 0].numpy()
            counts = np.bincount(images.ravel(), minlength=256) / images.size
            greys.semilogy(np.arange(256), np.maximum(counts, 1e-7), color=COLOURS[name], label=name)
            _draw_sheet(sheets[label].subplots(), images, name)
    greys.set(xlabel="grey value", ylabel="share of pixels", title="Grey values")
    greys.legend()
    return figure


def _draw_balance(axes: Axes, dataset: Dataset) -> None:
    splits = _splits(dataset)
    for offset, (label, name) in zip((-0.2, 0.2), enumerate(manifest.CLASSES), strict=True):
        counts = [len(part.of(label)) for _, part in splits]
        axes.bar_label(axes.bar(np.arange(len(splits)) + offset, counts, 0.4, color=COLOURS[name], label=name))
    axes.margins(y=0.12)  # room for the numbers above the bars
    axes.set_xticks(range(len(splits)), [title for title, _ in splits])
    axes.set(ylabel="images", title="Class balance")
    axes.legend()


def _draw_sheet(axes: Axes, images: np.ndarray, name: str) -> None:
    """Images evenly spread over the class, side by side."""
    rows, columns = SHEET
    chosen = images[np.linspace(0, len(images) - 1, min(len(images), rows * columns)).astype(int)]
    sheet = np.zeros((rows * columns, *images.shape[1:]), np.uint8)
    sheet[: len(chosen)] = chosen
    sheet[:, :1] = sheet[:, :, :1] = 90  # a thin line between neighbours
    side = images.shape[1]
    axes.imshow(sheet.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(rows * side, -1), cmap="gray")
    axes.set_axis_off()
    axes.set_title(f"{name}: {len(chosen)} of {len(images)}")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
