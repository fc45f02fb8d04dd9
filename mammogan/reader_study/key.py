"""The key of a study: which of its images are real. It is needed to score, and no reader may see it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path

from mammogan import codec, storage
from mammogan.reader_study.kind import Kind

FILE = "key.json"
FORMAT = 1
"""Raised when a field changes its meaning."""
DIGITS = 16
"""Of a case's name: 64 bits of its keyed hash."""


@dataclass(frozen=True)
class Case:
    """One showing of an image."""

    case: str
    """What the page calls it: a keyed hash, which tells nothing without the secret."""
    kind: Kind
    image: str
    """Pseudonym of a real image, file of a synthetic one."""
    repeats: str = ""
    """The case that showed the same image before; empty for the first showing, by which a reader is judged."""


@dataclass(frozen=True)
class Key:
    """What the page does not tell."""

    study: str
    """Name of the study, which page and answers bear."""
    secret: str = field(repr=False)
    """Hexadecimal, 32 random bytes: names and orders of the cases follow from it."""
    label: str
    """Class of the images."""
    seed: int
    """By which the images were drawn."""
    data_digest: str
    """Of the data set that the real images come from."""
    version: str
    """Of mammogan, which made the study."""
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        """Check that the cases make sense together."""
        first = {item.case: item for item in self.cases if not item.repeats}
        if len({item.case for item in self.cases}) < len(self.cases):
            raise ValueError(f"study {self.study}: the key names a case twice; take the file as make wrote it")
        for item in self.cases:
            shown = first.get(item.repeats)
            if item.repeats and (shown is None or (shown.kind, shown.image) != (item.kind, item.image)):
                raise ValueError(f"study {self.study}: case {item.case} repeats no such case; take the key as it was")

    @property
    def first(self) -> tuple[Case, ...]:
        """First showings, one of each image."""
        return tuple(item for item in self.cases if not item.repeats)

    @property
    def repeated(self) -> tuple[Case, ...]:
        """Second showings."""
        return tuple(item for item in self.cases if item.repeats)


def keyed_name(secret: bytes, *parts: object) -> str:
    """16 hexadecimal digits of HMAC-SHA256 under the study's secret."""
    return hmac.digest(secret, "/".join(map(str, parts)).encode(), "sha256").hex()[:DIGITS]


def write_key(key: Key, path: Path) -> None:
    """Write a key that nobody but its owner may read, where there is none."""
    if not storage.create(str(path), codec.dumps(key, FORMAT)):
        raise ValueError(f"{path}: there is a key already, by which answers may be scored; give another folder")


def read_key(path: Path) -> Key:
    """The key of a study. Raises FileNotFoundError where there is none, ValueError for a file that is none."""
    return codec.loads(Key, storage.read_bytes(str(path)), FORMAT, str(path))
