"""Files of a registered version, taken only as they were registered.

MLflow hands on whatever lies below a version's address, and its server takes new files there from anybody who reaches
it. So the sha256 of the snapshot and of all files together stand as tags of the version, which lie in MLflow's database
and not among the files; here both are compared before anything is read, and nothing of the files is ever run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mammogan import errors, storage, tracking
from mammogan.tracking.server import CRITIC_SHA256, NOTHING_THERE

SNAPSHOT = "mammogan.snapshot_sha256"
"""Tag with the hex sha256 of the generator's snapshot."""
FILES = "mammogan.files_sha256"
"""Tag with the hex sha256 of ``files_sha256``."""
PREFIX = "models:/"
DATA = "data"
"""Folder of the snapshot within the model's."""
ADDED_ON_THE_WAY = "registered_model_meta"
"""File that MLflow's client writes into what it has fetched."""
FORM = "write it as models:/NAME@ALIAS or models:/NAME/VERSION"


class AlteredError(ValueError):
    """Files that are not those that were registered."""


@dataclass(frozen=True)
class Contents:
    """What a version holds, on this machine, as it was registered."""

    folder: Path
    snapshot: Path
    """The generator's snapshot."""
    whole: bool
    """Whether all files were compared; False for a version whose snapshot's sha256 alone was recorded."""


def fetch(name: str, version: str, folder: Path, tracking_uri: str = "") -> Contents:
    """Copy the files of a version to ``folder``, a new one.

    Raises ValueError for a version that is not there, that has no recorded sha256 to compare with, or whose files are
    not those that were registered or cannot be given any more; FileNotFoundError where they were on this machine and
    are gone. A server that does not answer, or refuses, is its own error: MlflowException or OSError.
    """
    client, where = tracking.client(tracking_uri), f"model {name} version {version}"
    tags = _tags(client, name, version)
    if SNAPSHOT not in tags:
        raise ValueError(
            f"{where}: it has no tag {SNAPSHOT} to check its files against; register it by a run of this software"
        )
    tracking.require_version(name, version, tracking_uri)
    try:
        model_folder = Path(mlflow.artifacts.download_artifacts(f"{PREFIX}{name}/{version}", dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        if not _are_gone(error):
            raise
        raise ValueError(
            f"{where}: its files cannot be fetched ({errors.first_line(error)}); register it again"
        ) from error
    snapshots = [path for path in sorted((model_folder / DATA).rglob("*")) if path.is_file()]
    if len(snapshots) != 1:
        raise _altered(where, f"{len(snapshots)} snapshots instead of one", SNAPSHOT)
    if (sha256 := storage.sha256_of(snapshots[0])) != tags[SNAPSHOT]:
        raise _altered(where, f"the snapshot's sha256 is {sha256}", SNAPSHOT)
    if FILES in tags and (sha256 := files_sha256(model_folder)) != tags[FILES]:
        raise _altered(where, f"the sha256 of its files is {sha256}", FILES)
    return Contents(model_folder, snapshots[0], FILES in tags)


def _are_gone(error: MlflowException | OSError) -> bool:
    """Whether an error says that the files are not there, and not that they cannot be reached."""
    if isinstance(error, MlflowException):
        return error.error_code in NOTHING_THERE
    if isinstance(error, requests.RequestException):
        return error.response is not None and error.response.status_code in (404, 410)
    # MLflow's own, of a folder on this machine, has no number
    return isinstance(error, (FileNotFoundError, NotADirectoryError)) or error.errno is None


def require_snapshot(snapshot: Path, name: str, version: str, tracking_uri: str = "") -> None:
    """Raise ValueError where the file is not the snapshot that was registered as that version."""
    tags, where = _tags(tracking.client(tracking_uri), name, version), f"model {name} version {version}"
    if (sha256 := storage.sha256_of(snapshot)) != tags.get(SNAPSHOT):
        raise _altered(where, f"the sha256 of the snapshot {snapshot} is {sha256}", SNAPSHOT)


def require_critic(critic: Path, name: str, version: str, tracking_uri: str = "") -> None:
    """Raise ValueError where the file is not the critic that was recorded with that version.

    A version that an earlier checkout registered has none recorded, nor has one that there is not.
    """
    where = f"model {name} version {version}"
    try:
        tags = _tags(tracking.client(tracking_uri), name, version)
    except ValueError:  # whoever writes the audit's outcome on that version will say so
        return
    if CRITIC_SHA256 in tags and (sha256 := storage.sha256_of(critic)) != tags[CRITIC_SHA256]:
        raise _altered(where, f"the sha256 of the critic {critic} is {sha256}", CRITIC_SHA256)


def files_sha256(folder: Path) -> str:
    """Hex sha256 over path and sha256 of every file of a model's folder, in order of the paths."""
    content = hashlib.sha256()
    for name, path in _files(folder):
        content.update(f"{storage.sha256_of(path)}  {name}\n".encode())
    return content.hexdigest()


def version_of(model_uri: str, tracking_uri: str = "") -> tuple[str, str]:
    """Name and version of ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``. Raises ValueError for no such model."""
    address = model_uri.removeprefix(PREFIX)
    name, sign, alias = address.partition("@")
    if not sign:
        name, _, alias = address.rpartition("/")
    if address == model_uri or not name or not alias or not (sign or alias.isdecimal()):
        raise ValueError(f"model={model_uri!r}: no address of a registered model; {FORM}")
    client = tracking.client(tracking_uri)
    try:
        if not sign:
            return name, str(client.get_model_version(name, alias).version)
        version = client.get_registered_model(name).aliases.get(alias)
    except MlflowException as error:
        if error.error_code not in NOTHING_THERE:
            raise
        raise ValueError(f"model={model_uri!r}: no such model; {FORM} ({errors.first_line(error)})") from error
    if version is None:
        raise ValueError(f"model={model_uri!r}: the model has no alias {alias}; {FORM}")
    return name, str(version)


def _tags(client: MlflowClient, name: str, version: str) -> Mapping[str, str]:
    try:
        return client.get_model_version(name, version).tags
    except MlflowException as error:
        if error.error_code not in NOTHING_THERE:
            raise
        raise ValueError(f"version={version!r}: model {name} has no such version") from error


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    files.pop(ADDED_ON_THE_WAY, None)
    yield from sorted(files.items())


def _altered(where: str, actual: str, tag: str) -> AlteredError:
    return AlteredError(
        f"{where}: its files are not those that were registered ({actual}, not that of the tag {tag}); do not use it, "
        "find out who wrote there, and register the model again"
    )
