"""What a subset would give, from the case CSVs alone: counts, patients, both splits and what leaks."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from mammogan.data import cbis_ddsm, split

if TYPE_CHECKING:
    import pandas as pd

    from mammogan.config import DataConfig


def plan(labels: str, config: DataConfig) -> dict[str, Any]:
    """Counts of the images that ``config`` asks for and of both kinds of split, ready for JSON.

    Raises as ``cbis_ddsm.read_cases`` does. A split that the images do not allow is null, with the reason beside it.
    """
    import pandas as pd

    wanted, bad = cbis_ddsm.wanted_images(cbis_ddsm.read_cases(labels, config.subset), config.images)
    if not wanted:
        raise ValueError(f"data.subset={config.subset!r}: the case CSVs at {labels} hold no usable row of it")
    frame = pd.DataFrame([vars(image) for image in wanted])
    return {
        "subset": config.subset,
        "content": config.images,
        **split.count(frame),
        "mixed_labels": int(frame["mixed"].sum()),
        "bad_rows": len(bad),
        "splits": {unit: _split(frame, dataclasses.replace(config, split=unit)) for unit in ("image", "patient")},
    }


def _split(frame: pd.DataFrame, config: DataConfig) -> dict[str, Any]:
    try:
        return split.describe(frame.assign(split=split.assign(frame, config)))
    except ValueError as error:
        return {"train": None, "test": None, "leak": None, "reason": str(error)}
