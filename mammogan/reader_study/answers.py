"""A reader's answers, as the page saves them: read strictly, and held against the study's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mammogan import codec, storage
from mammogan.reader_study.key import Key
from mammogan.reader_study.kind import Kind

FORMAT = 1
"""Raised when a field changes its meaning."""
MOST_BYTES = 20_000_000
"""Of a file of answers; thousands of them take less."""
SURE = 5
"""The highest confidence; the lowest is 1."""


@dataclass(frozen=True)
class Answer:
    """What a reader took one case for."""

    case: str
    answer: Kind
    confidence: int
    """1 to 5."""
    seconds: float
    """Time that the image was looked at."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 1 <= self.confidence <= SURE:
            raise ValueError(f"case {self.case!r}: confidence={self.confidence!r}: give a number from 1 to {SURE}")
        if self.seconds < 0:
            raise ValueError(f"case {self.case!r}: seconds={self.seconds!r}: give a number from 0")

    @property
    def rating(self) -> int:
        """How synthetic the image looked, -5 (real, certain) to 5 (synthetic, certain), never 0."""
        return self.confidence if self.answer is Kind.SYNTHETIC else -self.confidence


@dataclass(frozen=True)
class AnswerSheet:
    """The answers of one reader."""

    study: str
    reader: str
    """Name as the reader typed it."""
    experience: str
    """In the reader's own words; may be empty."""
    started: str
    """When, in ISO 8601, by the reader's clock."""
    saved: str
    answers: tuple[Answer, ...]

    def __post_init__(self) -> None:
        """Check the reader's name and that there is one answer a case."""
        if not self.identity or not self.reader.isprintable():
            raise ValueError(f"reader={self.reader!r}: give a name of printable letters")
        cases = [item.case for item in self.answers]
        if len(set(cases)) < len(cases):
            twice = next(case for case in cases if cases.count(case) > 1)
            raise ValueError(f"case {twice!r} is answered twice; keep the answer that counts")

    @property
    def identity(self) -> str:
        """By which a reader is told from others: the name without regard to case and spaces."""
        return " ".join(self.reader.split()).casefold()


def read_answers(paths: Sequence[Path], key: Key) -> list[AnswerSheet]:
    """The answers of a study's readers, a file each, in the order given.

    Raises FileNotFoundError for a missing file; ValueError, which names the file, for one that is broken, empty, of
    another study, or of a reader whose answers were given before, under this name or another.
    """
    sheets: dict[Path, AnswerSheet] = {}
    for path in paths:
        sheet = _read(path)
        _check_study(path, sheet, key)
        for other, earlier in sheets.items():
            _check_reader(path, sheet, other, earlier)
        sheets[path] = sheet
    return list(sheets.values())


def _read(path: Path) -> AnswerSheet:
    content = storage.read_bytes(str(path), MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path}: more than {MOST_BYTES} bytes; give the file that the page saved")
    return codec.loads(AnswerSheet, content, FORMAT, str(path))


def _check_study(path: Path, sheet: AnswerSheet, key: Key) -> None:
    if sheet.study != key.study:
        raise ValueError(f"{path}: answers to study {sheet.study!r}, the key is that of {key.study}; give one study's")
    known = {item.case for item in key.cases}
    if strange := next((item.case for item in sheet.answers if item.case not in known), None):
        raise ValueError(f"{path}: case {strange!r} is none of study {key.study}; give the file that the page saved")
    if not sheet.answers:
        raise ValueError(f"{path}: {sheet.reader!r} has answered nothing; leave the file out")


def _check_reader(path: Path, sheet: AnswerSheet, other: Path, earlier: AnswerSheet) -> None:
    if sheet.identity == earlier.identity:
        raise ValueError(f"{path}: {sheet.reader!r} is the reader of {other} too; give one file a reader")
    if sheet.answers == earlier.answers:
        raise ValueError(
            f"{path}: the answers of {sheet.reader!r} are those of {earlier.reader!r} in {other}; leave one out"
        )
