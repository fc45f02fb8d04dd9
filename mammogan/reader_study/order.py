"""Orders in which cases are shown: each random, with a repeated image far from its first showing."""

from __future__ import annotations

import numpy as np

from mammogan.statistics import Ints

END = 0.4
"""Share of an order, at either end, that holds the repeated images once; at least a fifth of the order lies between."""


def random_order(cases: int, first: Ints, second: Ints, rng: np.random.Generator) -> Ints:
    """Permutation (N,) of the cases 0..N-1.

    ``first`` (K,) and ``second`` (K,) are the two showings of each repeated image. Raises ValueError where these do not
    fit into the ends.
    """
    end = int(END * cases)
    if len(first) > end:
        raise ValueError(f"repeats={len(first)}: at most {end} of {cases} cases may be second showings")
    once = rng.permutation(np.setdiff1d(np.arange(cases), np.concatenate([first, second])))
    filling = end - len(first)
    head, middle, tail = once[:filling], once[filling : len(once) - filling], once[len(once) - filling :]
    parts = (np.concatenate([first, head]), middle, np.concatenate([second, tail]))
    return np.concatenate([rng.permutation(part) for part in parts])
