"""What a source offers: its files, without those that other programs left beside them."""

from __future__ import annotations

import ntpath
import posixpath
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mammogan import storage
from mammogan.data.quarantine import RejectedImage

DICOM_SUFFIXES = (".dcm", ".dicom")
LONGEST_PATH = 4096
"""Characters; no file's is longer."""


def is_suffixless(name: str) -> bool:
    """Whether a file's name tells nothing of what it is: ``IM0001``, or a UID, ``1.2.840.7``."""
    suffix = posixpath.splitext(name)[1][1:]
    return not suffix or suffix.isdecimal()


def is_companion(name: str) -> bool:
    """Whether a path below a source is hidden, or was left by macOS: ``a/._1.dcm``, ``__MACOSX/1.dcm``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, so that a manifest can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def composed(text: str) -> str:
    """A name as it is compared: accents composed (NFC), every kind of space a space."""
    if text.isascii():
        return text
    characters = unicodedata.normalize("NFC", text)
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in characters)


def _read(name: str) -> str:
    """A file's name as a table's cell has it: without blanks at its ends, and slashes of one kind."""
    return composed(name.strip().replace("\\", "/"))


@dataclass(frozen=True)
class Listing:
    """The files of a source."""

    root: str
    """The source: its address, or its folder with every link resolved."""
    stamps: Mapping[str, str]
    """Stamp of each file by its path below the source, sorted; it changes when the file does."""
    nameless: tuple[str, ...]
    """Paths that are no UTF-8."""

    @classmethod
    def read(cls, source: str) -> Listing:
        """The files below ``source``, a folder or an ``s3://`` address."""
        stamps = storage.list_stamps(source, key=storage.Key.SOURCE)
        nameless = tuple(sorted(name for name in stamps if not is_text(name)))
        root = source if storage.is_remote(source) else str(Path(source).resolve())
        return cls(root, {name: stamps[name] for name in sorted(stamps) if is_text(name)}, nameless)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Paths of the files that are not companions, sorted."""
        return tuple(name for name in self.stamps if not is_companion(name))

    @cached_property
    def _spellings(self) -> dict[str, list[str]]:
        spellings: dict[str, list[str]] = {}
        for name in self.stamps:
            spellings.setdefault(_read(name), []).append(name)
        return spellings

    def resolve(self, written: str) -> str:
        """The file that a table means by a path, with slashes of either kind and accents of either form.

        A path that no file has comes back with slashes. Raises ValueError for a path that is not below its folder, and
        for one that means two files.
        """
        path = posixpath.normpath(slashed := written.replace("\\", "/"))
        if slashed.startswith("/") or ntpath.splitdrive(written)[0] or path.split("/")[0] == "..":
            raise ValueError(f"file={written[:200]!r}: it leaves its folder")
        if ".." in slashed.split("/"):  # where a link stands before it, it leads elsewhere
            raise ValueError(f"file={written[:200]!r}: '..' stands in it; write the path without it")
        spelt = self._spellings.get(_read(path), [path])
        if len(spelt) > 1:
            raise ValueError(f"file={written[:200]!r}: {len(spelt)} files have this name here; rename one")
        return spelt[0]

    def meant(self, written: str) -> tuple[str, ...]:
        """The files that a path may mean which ``resolve`` refuses, by its longest end that some file has."""
        if len(written) > LONGEST_PATH:
            return ()
        parts = posixpath.normpath(written.replace("\\", "/")).split("/")
        ends = (_read("/".join(parts[start:])) for start in range(len(parts)))
        return tuple(next((self._spellings[end] for end in ends if end in self._spellings), ()))

    def rejected(self) -> list[RejectedImage]:
        """A row for each file whose name no table can hold."""
        return [
            RejectedImage("", name, "the file's name is no UTF-8", "rename the file, then run again")
            for name in self.nameless
            if not is_companion(name)
        ]
