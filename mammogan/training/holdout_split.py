"""Images of the train split that no update sees, by which overfitting and the early stop are judged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mammogan.training.randomness import rng_for

FEWEST = 2


def holdout_split(count: int, fraction: float, patients: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
    """Indices (n,), int64, ascending, of the images to train on and of those held out, about ``fraction`` of them.

    Whole patients are held out: ``patients`` names that of each image; without it every image is a patient of its own.
    The choice is the same for every trial, so that what is judged by it can be compared; 0 holds out none.
    Raises ValueError for another number of names than of images, and where fewer than 2 images are left on a side.
    """
    if patients is not None and len(patients) != count:
        raise ValueError(f"patients={len(patients)} names: give one for each of the {count} images")
    everybody = torch.arange(count)
    if not fraction:
        return everybody, everybody[:0]
    names = patients or [str(index) for index in range(count)]
    held_out = _whole_patients(names, max(FEWEST, round(fraction * count)))
    kept, chosen = everybody[~held_out], everybody[held_out]
    if len(kept) < FEWEST:
        less = count - int(_whole_patients(names, FEWEST).sum()) >= FEWEST
        fix = "give less" if less else f"no share leaves {FEWEST} on either side, so give 0, or more images"
        raise ValueError(
            f"train.validation_fraction={fraction!r}: of {count} images it leaves {len(kept)} to train on; {fix}"
        )
    return kept, chosen


def _whole_patients(patients: Sequence[str], wanted: int) -> Tensor:
    """Boolean (N,): the images of patients in a random order, until ``wanted`` images are reached."""
    names = list(dict.fromkeys(patients))  # in their order, so that what they are called decides nothing
    order = torch.randperm(len(names), generator=rng_for(0, "carve-out", 0, torch.device("cpu"))).tolist()
    taken: set[str] = set()
    images = 0
    for index in order:
        if images >= wanted:
            break
        taken.add(names[index])
        images += patients.count(names[index])
    return torch.tensor([patient in taken for patient in patients])
