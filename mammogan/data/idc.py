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


def read_index(labels: str) -> dict[str, Series]:
    """Series of CBIS-DDSM by UID: from a CSV below ``labels``, else from ``idc-index-data``, else none."""
    for table in tables.below(labels):
        if all(column in table.header for column in COLUMNS):
            return _by_uid(row for _, row in table.rows)
    return _from_package()


def _from_package() -> dict[str, Series]:
    try:
        from idc_index_data import IDC_INDEX_PARQUET_FILEPATH as INDEX  # ty: ignore[import-not-found]
    except ImportError:
        return {}
    import pandas as pd

    names = ["SeriesInstanceUID", "series_aws_url", "series_size_MB"]
    frame = pd.read_parquet(INDEX, columns=names, filters=[("collection_id", "=", COLLECTION)])
    return _by_uid(frame.rename(columns=str.lower).astype(str).to_dict("records"))


def _by_uid(rows: Iterable[dict[str, str]]) -> dict[str, Series]:
    series: dict[str, Series] = {}
    for row in rows:
        url = row.get("series_aws_url", "").removesuffix("*").rstrip("/")
        try:
            megabytes = float(row.get("series_size_mb", ""))
        except ValueError:
            continue
        if url.startswith("s3://") and row.get("seriesinstanceuid"):
            series[row["seriesinstanceuid"]] = Series(row["seriesinstanceuid"], url, megabytes)
    return series
