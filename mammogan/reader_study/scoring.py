"""What the answers show: of each reader, of all together, and how far they agree.

Synthetic is what is looked for: sensitivity is the share of synthetic images that were called so, specificity that of
real ones. Second showings count for the reader's agreement with themselves alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mammogan.reader_study.accuracy import POWER, detectable, p_guessing, share
from mammogan.reader_study.agreement import Agreement, agreement
from mammogan.reader_study.answers import Answer, AnswerSheet
from mammogan.reader_study.key import Case, Key
from mammogan.reader_study.kind import Kind
from mammogan.reader_study.pooling import PooledRate, pooled_accuracy, pooled_area
from mammogan.reader_study.rate import Rate
from mammogan.reader_study.roc import area
from mammogan.results import Omission
from mammogan.statistics import Ints

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ReaderScore:
    """One reader's answers."""

    reader: str
    experience: str
    """In the reader's own words."""
    answered: int
    """Images, of first showings."""
    missing: int
    """First showings without an answer."""
    missing_repeats: int
    accuracy: Rate | None
    """Share of right answers."""
    p_guessing: float | None
    """Exact two-sided p-value of guessing."""
    detectable: float | None
    """Distance from 1/2 that this many images find with the chance ``power``; None where none could."""
    sensitivity: Rate | None
    """Of synthetic images; None where none was answered."""
    specificity: Rate | None
    """Of real images."""
    area: Rate | None
    """Under the ROC curve of answer and confidence; None below two answers to either kind."""
    own_agreement: Agreement | None
    """Between first and second showing; None below two repeats."""
    seconds: float
    """Median time an answer."""


@dataclass(frozen=True)
class PooledScore:
    """All readers together, on the images that all of them answered."""

    synthetic: int
    real: int
    accuracy: PooledRate
    area: PooledRate
    agreement: Agreement
    """Between readers."""


@dataclass(frozen=True)
class Score:
    """The results of a study."""

    study: str
    label: str
    """Class of the images."""
    synthetic: int
    real: int
    repeats: int
    confidence: float
    """Level of the intervals."""
    power: float
    readers: tuple[ReaderScore, ...]
    pooled: PooledScore | None
    omitted: tuple[Omission, ...]
    """What could not be computed, and why."""


def score(key: Key, sheets: Sequence[AnswerSheet], confidence: float = CONFIDENCE, seed: int = 0) -> Score:
    """The results of the readers' answers, at least one of them; ``seed`` is the bootstrap's.

    Raises ValueError where there is no reader.
    """
    if not sheets:
        raise ValueError("answers=[]: give at least one file that a reader saved")
    readers = [_reader(key, sheet, confidence) for sheet in sheets]
    pooled = _pooled(key, sheets, confidence, seed)
    omitted = [item for reader in readers for item in _lacking(reader)]
    return Score(
        study=key.study, label=key.label, synthetic=len(_of(key, Kind.SYNTHETIC)), real=len(_of(key, Kind.REAL)),
        repeats=len(key.repeated), confidence=confidence, power=POWER, readers=tuple(readers),
        pooled=pooled if isinstance(pooled, PooledScore) else None,
        omitted=(*omitted, *([pooled] if isinstance(pooled, Omission) else [])),
    )  # fmt: skip


def _of(key: Key, kind: Kind) -> list[Case]:
    """First showings of one kind."""
    return [item for item in key.first if item.kind is kind]


def _answers(sheet: AnswerSheet) -> dict[str, Answer]:
    return {item.case: item for item in sheet.answers}


def _reader(key: Key, sheet: AnswerSheet, confidence: float) -> ReaderScore:
    given = _answers(sheet)
    ratings = {kind: _ratings(_of(key, kind), given) for kind in Kind}
    right = {Kind.SYNTHETIC: int((ratings[Kind.SYNTHETIC] > 0).sum()), Kind.REAL: int((ratings[Kind.REAL] < 0).sum())}
    count = {kind: len(ratings[kind]) for kind in Kind}
    answered, correct = sum(count.values()), sum(right.values())
    shares = {kind: share(right[kind], count[kind], confidence) if count[kind] else None for kind in Kind}
    fakes, reals = ratings[Kind.SYNTHETIC], ratings[Kind.REAL]
    return ReaderScore(
        reader=sheet.reader,
        experience=sheet.experience,
        answered=answered,
        missing=len(key.first) - answered,
        missing_repeats=sum(item.case not in given for item in key.repeated),
        accuracy=share(correct, answered, confidence) if answered else None,
        p_guessing=p_guessing(correct, answered) if answered else None,
        detectable=detectable(answered, confidence) if answered else None,
        sensitivity=shares[Kind.SYNTHETIC],
        specificity=shares[Kind.REAL],
        area=area(fakes, reals, confidence) if min(len(fakes), len(reals)) >= 2 else None,
        own_agreement=_own_agreement(key, given, confidence),
        seconds=statistics.median(item.seconds for item in sheet.answers),
    )


def _ratings(cases: Sequence[Case], given: dict[str, Answer]) -> Ints:
    """Ratings (N,) of those of the cases that were answered."""
    return np.array([given[item.case].rating for item in cases if item.case in given], dtype=np.int64)


def _own_agreement(key: Key, given: dict[str, Answer], confidence: float) -> Agreement | None:
    pairs = [
        (given[item.repeats].rating > 0, given[item.case].rating > 0)
        for item in key.repeated
        if item.case in given and item.repeats in given
    ]
    return agreement(np.array(pairs, dtype=np.bool_).T, confidence) if len(pairs) >= 2 else None


def _pooled(key: Key, sheets: Sequence[AnswerSheet], confidence: float, seed: int) -> PooledScore | Omission:
    """All readers together, or why not."""
    if len(sheets) < 2:
        return Omission("pooled", "one reader; how readers differ and agree takes at least two")
    answers = [_answers(sheet) for sheet in sheets]
    common = {kind: [item for item in _of(key, kind) if all(item.case in given for given in answers)] for kind in Kind}
    if min(len(cases) for cases in common.values()) < 2:
        return Omission("pooled", "fewer than two images of either kind were answered by all readers")
    fakes, reals = (
        np.stack([_ratings(common[kind], given) for given in answers]) for kind in (Kind.SYNTHETIC, Kind.REAL)
    )
    return PooledScore(
        synthetic=fakes.shape[1],
        real=reals.shape[1],
        accuracy=pooled_accuracy(fakes, reals, confidence, seed),
        area=pooled_area(fakes, reals, confidence, seed),
        agreement=agreement(np.concatenate([fakes, reals], axis=1) > 0, confidence),
    )


def _lacking(reader: ReaderScore) -> list[Omission]:
    """What a reader's answers were too few for."""
    reasons = {
        "sensitivity": (reader.sensitivity, "no synthetic image was answered"),
        "specificity": (reader.specificity, "no real image was answered"),
        "area": (reader.area, "fewer than two images of either kind were answered"),
        "own_agreement": (reader.own_agreement, "fewer than two images were answered twice"),
    }
    return [Omission(f"{reader.reader}/{name}", reason) for name, (value, reason) in reasons.items() if value is None]
