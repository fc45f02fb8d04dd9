"""What patients are called: an id is read without regard to its case, so that no table's spelling parts a patient."""

from __future__ import annotations

from collections.abc import Iterable


def canonical(patient_id: str) -> str:
    """The id in capitals, by which two spellings are one, in one data set and between two.

    Splits and pseudonyms are made of it: a row that spells an id in another way changes neither. CBIS-DDSM's ids are
    written so.
    """
    return patient_id.casefold().upper()


def one_spelling(patient_ids: Iterable[str]) -> dict[str, str]:
    """The id that each is written by: the spelling of it that sorts first."""
    names = sorted(set(patient_ids), reverse=True)
    spellings = {canonical(name): name for name in names}
    return {name: spellings[canonical(name)] for name in names}
