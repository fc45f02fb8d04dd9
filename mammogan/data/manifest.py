"""The data set on disk: ``images/*.png`` and ``manifest.csv``; everything after ingest reads only this."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan import shell, storage

if TYPE_CHECKING:
    import pandas as pd
    import torch

FILE = "manifest.csv"
COLUMNS = (
    "image_id",
    "file",
    "label",
    "pathology",
    "patient_id",
    "laterality",
    "view",
    "abnormality",
    "subset",
    "split",
    "source",
    "source_uid",
    "source_sha256",
    "sha256",
    "original_rows",
    "original_cols",
)
NUMBERS = ("label", "original_rows", "original_cols")
DIGESTED = ("image_id", "sha256", "label", "pathology", "patient_id", "subset", "split")
"""Columns that make two data sets the same one, wherever their files came from."""
CLASSES = ("benign", "malignant")
"""Name of each label."""
SYNTHETIC = "synthetic"
"""``source`` of the rows that no scanner made."""


def read(folder: Path) -> pd.DataFrame:
    """Manifest of a data set, sorted by ``image_id``: numbers as int64, all else as text.

    Raises FileNotFoundError where there is none or one of its images is missing, ValueError for columns or values
    that the rest of the project could not use.
    """
    import pandas as pd

    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no data set at {folder}: {FILE} is missing; make one with `{shell.command('mammogan')} ingest`"
        )
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable CSV ({error}); ingest again") from error
    _check(frame, path)
    frame = frame.astype(dict.fromkeys(NUMBERS, int)).sort_values("image_id", ignore_index=True)
    for file in frame["file"]:
        if not storage.inside(folder, file).is_file():
            raise FileNotFoundError(f"{path}: the image {file} is missing; ingest again")
    return frame


def _check(frame: pd.DataFrame, path: Path) -> None:
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise ValueError(f"{path}: no column {', '.join(absent)}; ingest again")
    for name, allowed in (
        ("label", "[01]"),
        ("split", "train|test"),
        ("original_rows", r"\d+"),
        ("original_cols", r"\d+"),
    ):
        wrong = frame.loc[~frame[name].str.fullmatch(allowed), name]
        if len(wrong):
            raise ValueError(f"{path}: {name}={wrong.iloc[0]!r}: write it as {allowed}")
    for name in ("image_id", "file"):
        twice = frame.loc[frame[name].duplicated(), name]
        if len(twice):
            raise ValueError(f"{path}: {name}={twice.iloc[0]!r} stands there twice; keep one row")


def write(frame: pd.DataFrame, folder: Path) -> None:
    """Write the manifest of a data set, sorted by ``image_id``, its columns in their order."""
    table = frame.sort_values("image_id")[list(COLUMNS)]
    storage.write_bytes(str(folder / FILE), table.to_csv(index=False, lineterminator="\n").encode())


def data_digest(frame: pd.DataFrame) -> str:
    """Hex sha256 of what the data set is: image hashes, labels, patients and split, never a path of the machine."""
    rows = frame.sort_values("image_id")[list(DIGESTED)].astype(str).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def select(
    frame: pd.DataFrame, *, split: str | None = None, label: int | None = None, synthetic: bool | None = None
) -> pd.DataFrame:
    """Rows of one split, of one label, and of the synthetic or the real images; of all where it is None."""
    wanted = ((frame["split"], split), (frame["label"], label), (frame["source"] == SYNTHETIC, synthetic))
    for column, value in wanted:
        if value is not None:
            frame = frame[column.loc[frame.index] == value]
    return frame


def load_images(
    folder: Path, *, split: str | None = None, label: int | None = None, synthetic: bool | None = None
) -> torch.Tensor:
    """(N, 1, H, W) uint8 images of a data set, in the order of ``image_id``, those that ``select`` chooses.

    Raises as ``read`` does, and ValueError where no image is chosen or the images differ in size.
    """
    import numpy as np
    import torch
    from PIL import Image

    chosen = select(read(folder), split=split, label=label, synthetic=synthetic)
    if chosen.empty:
        asked = f"split={split!r}, label={label!r}, synthetic={synthetic!r}"
        raise ValueError(f"{asked}: the data set at {folder} holds no such image")
    images = [np.asarray(Image.open(storage.inside(folder, file)).convert("L")) for file in chosen["file"]]
    if len({image.shape for image in images}) > 1:
        raise ValueError(f"{folder}: the images differ in size; ingest again")
    return torch.from_numpy(np.stack(images))[:, None]
