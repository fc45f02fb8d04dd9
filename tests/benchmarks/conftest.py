"""What benchmarks are made of can be imported, as where they are started."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)
