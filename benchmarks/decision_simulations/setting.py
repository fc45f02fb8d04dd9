"""How often each case is simulated, from which seed, and on which images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Setting:
    """What every simulation is given."""

    repetitions: int
    """Of each case."""
    seed: int = 0
    dataset: Path | None = None
    """One that ``ingest`` wrote, of real images; None where there is none."""

    def rng(self, stream: int) -> np.random.Generator:
        """A generator of its own for each ``stream``."""
        return np.random.default_rng([self.seed, stream])
