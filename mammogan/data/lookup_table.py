"""Lookup tables of a DICOM header, which map a value to another (DICOM PS3.3, C.11.1.1 and C.11.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mammogan.data.quarantine import BadImageError

if TYPE_CHECKING:
    from pydicom import Dataset

FIX = "export the image again"


@dataclass(frozen=True, eq=False)
class LookupTable:
    """Entries for ``first`` and the values that follow; lower values get the first entry, higher ones the last."""

    first: int
    entries: np.ndarray
    """(N,) uint16."""
    bits: int

    @property
    def top(self) -> int:
        """The greatest entry that there may be."""
        return (1 << self.bits) - 1

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Entries for values of any shape, float64 both."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return self.entries[index.astype(np.intp)].astype(np.float64)


def of(dataset: Dataset, keyword: str, *, signed: bool) -> LookupTable | None:
    """The first table of a sequence, None without one; ``signed`` says how its first value is to be read.

    Raises BadImageError for a table whose entries are not as many as it says.
    """
    sequence = dataset.get(keyword)
    if not sequence:
        return None
    item = sequence[0]
    big = dataset.original_encoding[1] is False
    descriptor = _words(item.get("LUTDescriptor"), big)
    if len(descriptor) != 3 or not 1 <= descriptor[2] <= 16:
        raise BadImageError(f"{keyword}: LUTDescriptor={descriptor.tolist()}", FIX)
    count, first, bits = int(descriptor[0]) or 1 << 16, int(descriptor[1]), int(descriptor[2])
    data = item.get("LUTData")
    if isinstance(data, bytes) and bits <= 8 and count <= len(data) <= count + 1:  # an entry a byte
        entries = np.frombuffer(data, np.uint8).astype(np.uint16)
    else:
        entries = _words(data, big)
    if len(entries) < count:
        raise BadImageError(f"{keyword}: {len(entries)} entries of {count}", FIX)
    return LookupTable(first - (1 << 16) if signed and first >= 1 << 15 else first, entries[:count], bits)


def _words(value: bytes | int | list[int] | None, big: bool) -> np.ndarray:
    """An element's 16-bit numbers as uint16, whether pydicom parsed them or not."""
    if value is None:
        return np.empty(0, np.uint16)
    if isinstance(value, bytes):
        return np.frombuffer(value[: len(value) // 2 * 2], ">u2" if big else "<u2").astype(np.uint16)
    numbers = [value] if isinstance(value, int) else list(value)
    return (np.array(numbers, np.int64) & 0xFFFF).astype(np.uint16)
