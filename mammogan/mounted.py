"""Settings and secrets of a pod: files below a folder, one for each key, that become environment variables.

A key ``ca.crt`` is the certificate of a CA that every step trusts beside the public ones.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mammogan import trust

CERTIFICATES = "ca.crt"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def read(mounts: Path) -> None:
    """Each key of each mounted ConfigMap and Secret as the variable of its name, unless the pod has that already.

    Raises ValueError for a ``ca.crt`` that holds no certificate.
    """
    for path in sorted(mounts.glob("*/*")):
        if _VARIABLE.fullmatch(path.name) and path.is_file():
            os.environ.setdefault(path.name, path.read_text().strip())
    if certificates := sorted(mounts.glob(f"*/{CERTIFICATES}")):
        trust.add(certificates)
    trust.keep_inside()
