"""CBIS-DDSM in the public bucket of the NCI Imaging Data Commons: which object holds which series, and how big it is.

A series is ``s3://idc-open-data/<uuid>/<instance>.dcm``, public and unsigned. The index that joins a uuid to its
SeriesInstanceUID is a CSV with the columns of IDC's own index, or the one in the package ``idc-index-data``. PatientID
is the wrong key: 246 images of the calcification test set have another one there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mammogan.data import tables

COLUMNS = ("seriesinstanceuid", "series_aws_url", "series_size_mb")
COLLECTION = "cbis_ddsm"


@dataclass(frozen=True)
class Series:
    """One series of the bucket."""

    uid: str
    url: str
    """Folder of its objects, without the closing slash."""
    megabytes: float

    @property
    def folder(self) -> str:
        """Last part of the address, the uuid."""
        return self.url.rsplit("/", 1)[-1]


def read_index(labels: str, *, linked: bool = True) -> dict[str, Series]:
    """Series of CBIS-DDSM by UID: from the CSVs below ``labels``, else from ``idc-index-data``, else none.

    With ``linked`` the CSVs may be links that lead out of it. Raises ValueError for a CSV that is not whole, and
    where one series is said to be in two places.
    """
    indexes = [
        table for table in tables.below(labels, linked=linked) if all(column in table.header for column in COLUMNS)
    ]
    try:
        rows = [row for table in indexes for row in table.checked_rows(COLUMNS, COLUMNS)]
        return _by_uid(_series(row) for row in rows if not row.fault) if indexes else _from_package()
    except ValueError as error:
        raise ValueError(f"labels={labels!r}: {error}") from error


def _from_package() -> dict[str, Series]:
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH as INDEX  # ty: ignore[import-not-found]
    except ImportError:
        return {}
    import pandas as pd

    names = ["SeriesInstanceUID", "series_aws_url", "series_size_MB"]
    frame = pd.read_parquet(INDEX, columns=names, filters=[("collection_id", "=", COLLECTION)])
    return _by_uid(_located(str(uid), str(url), str(megabytes)) for uid, url, megabytes in frame[names].to_numpy())


def _series(row: tables.Row) -> Series | None:
    return _located(row["seriesinstanceuid"], row["series_aws_url"], row["series_size_mb"])


def _located(uid: str, address: str, megabytes: str) -> Series | None:
    """A series of the index; None for a line that locates none."""
    url = address.removesuffix("*").rstrip("/")
    try:
        return Series(uid, url, float(megabytes)) if uid and url.startswith("s3://") else None
    except ValueError:
        return None


def _by_uid(entries: Iterable[Series | None]) -> dict[str, Series]:
    series: dict[str, Series] = {}
    for entry in entries:
        if entry is None:
            continue
        first = series.setdefault(entry.uid, entry)
        if first.url != entry.url:
            raise ValueError(f"one series is at {first.url!r} and at {entry.url!r}; keep one line of the index")
    return series
