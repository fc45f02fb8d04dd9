"""What benchmarks are made of can be imported, as where they are started."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
