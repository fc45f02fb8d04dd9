"""Kubernetes' quantities: ``500m`` cores, ``12.5Gi`` bytes, and back into words."""

from __future__ import annotations

import re
from decimal import Decimal

GIB = Decimal(2**30)
_PATTERN = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {name: 10 * (power + 1) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}


def parse(text: str | int) -> Decimal:
    """Number that a quantity stands for, in cores, bytes or pieces. Raises ValueError for what is none."""
    match = _PATTERN.fullmatch(str(text))
    if not match:
        raise ValueError(f"quantity={text!r}: write it as 500m, 3 or 12Gi")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * 2 ** _BINARY[suffix]
    return number * Decimal(10) ** (_DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:] or 0))


def shown(resource: str, amount: Decimal) -> str:
    """An amount in words: ``3.5 cores``, ``12.5 GiB``, ``1 nvidia.com/gpu``; bytes by the resource's name."""
    kind = resource.removeprefix("requests.").removeprefix("limits.")
    if kind == "cpu":
        return f"{_short(amount)} core{'' if amount == 1 else 's'}"
    if kind in ("memory", "ephemeral-storage"):
        return f"{_short(amount / GIB)} GiB"
    return f"{_short(amount)} {kind}"


def _short(number: Decimal) -> str:
    return f"{round(number, 2).normalize():f}"
