"""What patients are called: an id is read without regard to its case and the like: no spelling parts a patient."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_WHOLE = re.compile(r"([0-9]+)\.0+")


def canonical(patient_id: str) -> str:
    """The id in capitals, by which two spellings are one, in one data set and between two.

    Nor do the width of its characters, blanks within it, or the ``.0`` of a table that took it for a number tell
    patients apart. Splits and pseudonyms are made of it: a row that spells an id in another way changes neither.
    CBIS-DDSM's ids are written so.
    """
    plain = " ".join(unicodedata.normalize("NFKC", patient_id).split())
    whole = _WHOLE.fullmatch(plain)
    return unicodedata.normalize("NFKC", (whole[1] if whole else plain).casefold().upper())


def one_spelling(patient_ids: Iterable[str]) -> dict[str, str]:
    """The id that each is written by: the spelling of it that sorts first."""
    names = sorted(set(patient_ids), reverse=True)
    spellings = {canonical(name): name for name in names}
    return {name: spellings[canonical(name)] for name in names}
