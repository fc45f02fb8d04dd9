"""Whose an image is, kept out of what a run leaves: pseudonyms by a key that stays with the data.

| in the manifest | becomes |
|---|---|
| patient, file, series | ``patient-``, ``file-``, ``series-`` and 16 digits of its HMAC-SHA256 under the key |
| image | ``image-`` and 16 digits of its picture's own sha256 |
| a subset that is none of CBIS-DDSM's | ``subset-1``, ``subset-2``, ... in their order |
| a side, a view, an abnormality in words of one's own | ``other`` |

So nothing that is computed depends on the key: neither the order of the images nor the digest of the data. Beside the
key stand the index of each data set, from pseudonym to file, series and patient, and what was quarantined, in full.
"""

from __future__ import annotations

import csv
import hmac
import io
import logging
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mammogan import storage
from mammogan.config import SUBSETS
from mammogan.data import manifest, quarantine
from mammogan.data.cells import shielded, unshielded
from mammogan.data.patient_name import canonical
from mammogan.data.quarantine import RejectedImage

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

VARIABLE = "MAMMOGAN_PATIENTS_KEY"
"""Variable with the key, for a cluster that keeps it in a Secret of its own."""
FOLDER = "patients"
"""Of the work folder or the store."""
KEY = "key"
KEY_BYTES = 32
DIGITS = 16
"""Of a pseudonym: 64 bits, by which a million names meet once in thirty million data sets."""
PSEUDONYM, PATIENT_PSEUDONYM = "pseudonym", "patient_pseudonym"
"""Columns of the index beside the manifest's own."""
_HEX_KEY = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES},}}", re.IGNORECASE)
_KNOWN = {
    "laterality": re.compile(r"|L|R|LEFT|RIGHT", re.IGNORECASE),
    "view": re.compile(r"|[LR]?-?(CC|MLO|ML|LM|LMO|FB|SIO|ISO|XCCL|XCCM|XCC|AT|CV|TAN|SPOT|MAG)", re.IGNORECASE),
    "abnormality": re.compile(r"|(mass|calcification)( \d{1,3})?(\+(mass|calcification)( \d{1,3})?)*", re.IGNORECASE),
}
"""Words of a column that tell nothing of a person."""


@dataclass(frozen=True)
class Indexed:
    """One image of an index: its pseudonym, and what it stands for."""

    pseudonym: str
    image_id: str
    patient_id: str
    source: str
    source_uid: str


@dataclass(frozen=True)
class Patients:
    """The key of the pseudonyms, and the place where it and what it opens are kept."""

    home: str
    """Folder or ``s3://`` address; nothing else of the project is written there."""
    key: bytes = field(repr=False)

    @classmethod
    def at(cls, home: str) -> Patients:
        """With the key of ``$MAMMOGAN_PATIENTS_KEY``, else of ``home``, where one is made at the first use.

        Raises ValueError for a key that is none, OSError where the place cannot be read or written.
        """
        if given := os.environ.get(VARIABLE, "").strip():
            return cls(home, _parsed(given, f"${VARIABLE}"))
        address = storage.join(home, KEY)
        try:
            written = storage.read_bytes(address)
        except FileNotFoundError:
            _private_folder(home)
            if storage.create(address, f"{secrets.token_hex(KEY_BYTES)}\n".encode()):
                logger.info(f"a key for the patients' pseudonyms was made in {home}; keep it with the data")
            written = storage.read_bytes(address)  # of whoever came first
        return cls(home, _parsed(written.decode(errors="replace").strip(), address))

    def pseudonym(self, kind: str, text: str) -> str:
        """``patient-0123456789abcdef`` of a patient, the same wherever the key is; nothing of no text."""
        if not text:
            return ""
        digest = hmac.digest(self.key, f"{kind}\0{text}".encode("utf-8", "surrogateescape"), "sha256").hex()
        return f"{kind}-{digest[:DIGITS]}"

    def hidden(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a manifest, in their order, with pseudonyms in the place of all that may name a person."""
        image_ids = [manifest.name_of(sha256) for sha256 in frame["sha256"]]
        others = sorted(set(frame["subset"]) - {"", *SUBSETS})
        subsets = {text: f"subset-{number}" for number, text in enumerate(others, start=1)}
        plain = {name: _known_words(frame[name], known) for name, known in _KNOWN.items()}
        return frame.assign(
            image_id=image_ids,
            file=[f"images/{image_id}.png" for image_id in image_ids],
            patient_id=[self.pseudonym("patient", canonical(text)) for text in frame["patient_id"]],
            source=[self.pseudonym("file", text) for text in frame["source"]],
            source_uid=[self.pseudonym("series", text) for text in frame["source_uid"]],
            subset=frame["subset"].replace(subsets),
            **plain,
        )

    def keep(self, frame: pd.DataFrame, hidden: pd.DataFrame, digest: str) -> None:
        """Write the index of a data set, of which ``frame`` are the rows and ``hidden`` what ``hidden`` made of them.

        A data set of that digest that was kept before is written again: its files may have moved.
        """
        table = frame.assign(
            **{PSEUDONYM: hidden["image_id"].to_numpy(), PATIENT_PSEUDONYM: hidden["patient_id"].to_numpy()}
        )
        columns = [PSEUDONYM, PATIENT_PSEUDONYM, *manifest.COLUMNS]
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows([shielded(str(cell)) for cell in row] for row in table[columns].to_numpy().tolist())
        self._write(f"index-{digest[:DIGITS]}.csv", text.getvalue().encode())

    def quarantine(self, bad: Iterable[RejectedImage]) -> str:
        """Write what was quarantined, in full; returns the table's address."""
        self._write(quarantine.FILE, quarantine.table(bad))
        return storage.join(self.home, quarantine.FILE)

    def _write(self, name: str, content: bytes) -> None:
        _private_folder(self.home)
        address = storage.join(self.home, name)
        storage.write_bytes(address, content)
        if not storage.is_remote(address):
            Path(address).chmod(0o600)


def hidden_rows(bad: Iterable[RejectedImage]) -> list[RejectedImage]:
    """A row for each of the quarantine's, which says only where it stands in full: any cell of it may hold a name."""
    count = len(set(bad))
    return [
        RejectedImage(
            "", f"{quarantine.FILE}:{number + 2}", "kept with the data, beside the patients' key", "see there"
        )
        for number in range(count)
    ]


def read_index(home: str) -> dict[str, Indexed]:
    """Every image of the indexes at ``home`` by its pseudonym. Raises FileNotFoundError where there is none."""
    names = [name for name in storage.list_files(home) if re.fullmatch(r"index-[0-9a-f]+\.csv", name)]
    if not names:
        raise FileNotFoundError(f"--patients={home}: no index of a data set; give the folder of the patients' key")
    images: dict[str, Indexed] = {}
    for name in names:
        text = storage.read_bytes(storage.join(home, name)).decode()
        for row in csv.DictReader(io.StringIO(text, newline="")):
            columns = (PSEUDONYM, "image_id", "patient_id", "source", "source_uid")
            cells = [unshielded(row[column]) for column in columns]
            images[cells[0]] = Indexed(*cells)
    return images


def _parsed(text: str, where: str) -> bytes:
    if not _HEX_KEY.fullmatch(text) or len(text) % 2:
        raise ValueError(f"{where}: no key of at least {KEY_BYTES} bytes in hexadecimal digits; openssl rand -hex 32")
    return bytes.fromhex(text)


def _private_folder(home: str) -> None:
    """Make the folder, which nobody but its owner may read, where it is one of this disk."""
    if not storage.is_remote(home):
        Path(home).mkdir(parents=True, exist_ok=True)
        Path(home).chmod(0o700)


def _known_words(column: pd.Series, known: re.Pattern[str]) -> list[str]:
    return [text if known.fullmatch(text) else "other" for text in column]
