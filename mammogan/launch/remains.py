"""What runs leave of patients' data on this machine and in a store, beyond what MLflow keeps, and its removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mammogan import storage, user_folders
from mammogan.data import patients
from mammogan.data.replacement import leftovers

OF_A_FOLDER = ("data", "store", "spool", "run-*/steps", "run-*/report")
"""Below ``--out``: finished images, the patients' key and index; what was trained on them; every step's data sets;
pages that may show them. MLflow's database and artifacts, the models among them, are no part of it."""
OF_A_STORE = ("images", "trials", "evaluations", patients.FOLDER)
FEATURES = "features"


@dataclass(frozen=True)
class Remains:
    """A folder of this disk or a prefix of a bucket, with all that is below it."""

    address: str
    files: int

    def remove(self) -> None:
        """Remove it for good; what others have removed meanwhile is no error."""
        if storage.is_remote(self.address):
            for name in storage.list_files(self.address):
                storage.remove(storage.join(self.address, name))
        else:
            storage.remove_folder(Path(self.address))


def require_runs(out: Path, database: str) -> None:
    """Raise ValueError for a folder that no run wrote, whose ``data`` and ``store`` would be somebody else's."""
    if not (out / database).is_file() and not any(out.glob("run-*/status.json")):
        raise ValueError(
            f"--out={str(out)!r}: neither {database} nor run-*/status.json is in it; give a folder of runs"
        )


def of_folder(out: Path) -> list[Remains]:
    """Of the runs below ``out``."""
    folders = [path for pattern in OF_A_FOLDER for path in sorted(out.glob(pattern)) if path.is_dir()]
    return _counted([*map(str, folders), *map(str, leftovers(out))])


def of_store(store: str) -> list[Remains]:
    """Of every run that used the store."""
    counted = _counted([storage.join(store, name) for name in OF_A_STORE])
    return [item for item in counted if item.files]


def of_cache() -> list[Remains]:
    """Features of real images, in the user's cache."""
    folder = user_folders.cache(variable=storage.CACHE) / FEATURES
    return _counted([str(folder)]) if folder.is_dir() else []


def _counted(addresses: Sequence[str]) -> list[Remains]:
    return [Remains(address, len(storage.list_files(address))) for address in addresses]
