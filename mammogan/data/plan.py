"""What a subset would give, from the CSVs alone: counts, patients, how it splits, what leaks, and how much to read."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mammogan import cores
from mammogan.data import cbis_ddsm, idc, split
from mammogan.data.summary import Counts, Leak

if TYPE_CHECKING:
    import pandas as pd

    from mammogan.config import DataConfig

FULL_SIZE = (4600, 2800)
"""Rows and columns of a usual CBIS-DDSM mammogram."""


@dataclass(frozen=True)
class PlannedSplit:
    """The roles of a split, or why the images do not allow it."""

    train: Counts | None = None
    test: Counts | None = None
    leak: Leak | None = None
    reason: str = ""
    """Empty where the roles are there."""
    validation: Counts | None = None


@dataclass(frozen=True)
class Reading:
    """What there is to read."""

    located: int
    """Images that the index of the Imaging Data Commons knows."""
    gigabytes: float
    """Size of their series, 10^9 bytes."""
    rate_mb_s: float
    """Megabytes a second that ``seconds`` reckons with."""
    rate_source: str
    seconds: int


@dataclass(frozen=True)
class Plan(Counts):
    """What a subset would give."""

    subset: str
    content: str
    """``full`` or ``crop``."""
    mixed_labels: int
    """Images that hold a benign and a malignant abnormality."""
    bad_rows: int
    """Rows of the CSVs that cannot be used."""
    splits: Mapping[str, PlannedSplit]
    """By the unit that is split: ``image``, which has no validation, and ``patient``."""
    reading: Reading | None
    """None where no index is at hand."""


def plan(labels: str, config: DataConfig, rate_mb_s: float = 0.0) -> Plan:
    """Counts of the images that ``config`` asks for, both kinds of split, and the reading ahead.

    The time to read is at ``rate_mb_s``, or at the rate at which this machine is measured to decode and resize. Raises
    as ``cbis_ddsm.read_cases`` does.
    """
    import pandas as pd

    wanted, bad = cbis_ddsm.wanted_images(cbis_ddsm.read_cases(labels, config.subset), config.images)
    if not wanted:
        raise ValueError(f"data.subset={config.subset!r}: the case CSVs at {labels} hold no usable row of it")
    frame = pd.DataFrame([vars(image) for image in wanted])
    return Plan(
        **vars(split.count(frame)),
        subset=config.subset,
        content=config.images,
        mixed_labels=int(frame["mixed"].sum()),
        bad_rows=len(bad),
        splits={
            "image": _split(frame, dataclasses.replace(config, split="image", validation_fraction=0.0)),
            "patient": _split(frame, dataclasses.replace(config, split="patient")),
        },
        reading=_reading(wanted, idc.read_index(labels), config, rate_mb_s),
    )


def _reading(
    wanted: list[cbis_ddsm.ImageSpec], index: dict[str, idc.Series], config: DataConfig, rate_mb_s: float
) -> Reading | None:
    """Images that the index locates, the gigabytes of their series, and the seconds that these take."""
    if not index:
        return None
    uids = {uid for image in wanted for uid in image.series_uids}
    megabytes = sum(index[uid].megabytes for uid in uids if uid in index)
    rate = rate_mb_s or measured_rate_mb_s(config)
    return Reading(
        located=sum(any(uid in index for uid in image.series_uids) for image in wanted),
        gigabytes=round(megabytes / 1000, 2),
        rate_mb_s=round(rate, 1),
        rate_source="given" if rate_mb_s else "measured here, decoding and resizing from memory",
        seconds=round(megabytes / rate),
    )


def measured_rate_mb_s(config: DataConfig) -> float:
    """Megabytes a second that all cores that it may use turn from DICOM into squares, measured on one image."""
    from mammogan.data import dicom, phantom, preprocess

    pixels = np.random.default_rng(0).integers(0, 65535, FULL_SIZE, dtype=np.uint16)
    content = phantom.dicom_bytes(pixels, "1.2.3", "1.2.3", "1.2.3")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        preprocess.square(dicom.decode(content), config)
        seconds.append(time.perf_counter() - start)
    return len(content) / 1e6 / min(seconds) * cores.share()


def _split(frame: pd.DataFrame, config: DataConfig) -> PlannedSplit:
    try:
        sides = split.describe(frame.assign(split=split.assign(frame, config)), given=False)
    except ValueError as error:
        return PlannedSplit(reason=str(error))
    return PlannedSplit(sides.train, sides.test, sides.leak, validation=sides.validation)
