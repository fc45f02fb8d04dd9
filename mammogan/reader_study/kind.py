"""What an image is, and what a reader takes it for."""

from enum import StrEnum


class Kind(StrEnum):
    """Of a scanner or of a generator."""

    REAL = "real"
    SYNTHETIC = "synthetic"
