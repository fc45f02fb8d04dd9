"""Settings and secrets of a pod: files below a folder, one for each key, that become environment variables."""

from __future__ import annotations

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def read(mounts: Path) -> None:
    """Each key of each mounted ConfigMap and Secret as the variable of its name, unless the pod has that already."""
    for path in sorted(mounts.glob("*/*")):
        if _VARIABLE.fullmatch(path.name) and path.is_file():
            os.environ.setdefault(path.name, path.read_text().strip())
